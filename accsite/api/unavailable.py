"""The answer of the API while something that it needs is away."""

from __future__ import annotations

from rest_framework import exceptions


class Unavailable(exceptions.APIException):
    """Something that this needs is away for the moment."""

    status_code = 503
    default_detail = "Not available now"
    default_code = "unavailable"

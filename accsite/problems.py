"""Errors as RFC 9457 problem details, the same for every endpoint."""

from __future__ import annotations

import json
import sys
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.http import Http404, HttpRequest, HttpResponse
from django.views import defaults
from pydantic import BaseModel
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.views import exception_handler as drf_handler

from acc.errors import InvalidInput
from acc.text import DETAIL_CHARS, clean_data
from accsite.errors import WrongState
from accsite.outages import outage

CONTENT_TYPE = "application/problem+json"
API = "/api/v1/"


class Problem(BaseModel):
    """What went wrong. ``errors``: field -> sentences, each naming the value and what would be right.

    ``existing``: the address of what is there already, where that is the matter.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    errors: dict[str, list[str]] | None = None
    existing: str | None = None


class Conflict(exceptions.APIException):
    """What was asked cannot be done with the thing as it is now, and no field of the request is to blame."""

    status_code = 409
    default_detail = "Conflict"
    default_code = "conflict"


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return a problem-detail response; field errors stand in ``errors`` as field -> sentences."""
    if isinstance(error, WrongState):
        existing = getattr(error, "existing", None)
        return _problem(409, "Not in this state", str(error), errors=error.fields, existing=existing)
    if isinstance(error, InvalidInput):
        return _problem(422, "The input was refused", str(error), errors=error.fields)
    if isinstance(error, exceptions.ValidationError):
        fields = error.detail if isinstance(error.detail, dict) else {"__all__": error.detail}
        return _problem(422, "The input was refused", _sentence(fields), errors=_flat(fields))
    response = drf_handler(error, context)
    if response is None:
        return None
    if isinstance(error, Http404):
        title = "Not found"
    elif isinstance(error, PermissionDenied | exceptions.PermissionDenied):
        title = "Not allowed"
    else:
        title = str(getattr(error, "default_detail", "Error"))
        if "{" in title:  # it is a template, which the detail has filled in
            title = HTTPStatus(response.status_code).phrase.capitalize()
    detail = response.data.get("detail", "") if isinstance(response.data, dict) else str(response.data)
    problem = _problem(response.status_code, str(title), str(detail))
    for header, value in response.items():
        problem[header] = value
    problem["Content-Type"] = CONTENT_TYPE
    return problem


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400 for what is no request at all: as a problem below ``/api/``, elsewhere as a page."""
    if not request.path.startswith(API):
        return defaults.bad_request(request, exception)
    large = isinstance(exception, RequestDataTooBig | TooManyFilesSent | TooManyFieldsSent)
    code = 413 if large else 400
    return _plain(code, "The request is too large" if large else "The request could not be read", "")


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500, as a problem below ``/api/``; the log has the rest under the id of the request.

    Where the disk or the database is what failed, the status and the sentence say so.
    """
    found = outage(sys.exc_info()[1])
    if found is not None:
        return refusal(request.path, found.code, found.title, found.detail)
    if not request.path.startswith(API):
        return defaults.server_error(request)
    known = structlog.contextvars.get_contextvars().get("request_id", "")
    hint = f"; the log tells more of request {known}" if known else ""
    return _plain(
        500, "Something went wrong here", f"this is a fault of the site and not of the request{hint}"
    )


def refused_input(errors: dict[str, list[str]]) -> HttpResponse:
    """Answer 422 for wrong input that no view was asked about; ``errors``: field -> sentences."""
    return _plain(422, "The input was refused", _sentence(errors), errors=errors)


def refusal(path: str, code: int, title: str, detail: str) -> HttpResponse:
    """Answer what no view is asked: as a problem below ``/api/``, elsewhere as a line of text."""
    if path.startswith(API):
        return _plain(code, title, detail)
    return HttpResponse(f"{title}: {detail}\n", status=code, content_type="text/plain")


def _plain(code: int, title: str, detail: str, **extra: Any) -> HttpResponse:
    problem = Problem(title=title, status=code, detail=detail, **extra).model_dump(exclude_none=True)
    return HttpResponse(json.dumps(problem), status=code, content_type=CONTENT_TYPE)


class ProblemResponse(Response):
    """A problem is JSON even where the endpoint answers with a table, a picture or bytes."""

    @property
    def rendered_content(self) -> str:
        self["Content-Type"] = CONTENT_TYPE
        return json.dumps(self.data, cls=JSONEncoder)


def _problem(code: int, title: str, detail: str, **extra: Any) -> Response:
    problem = Problem(title=title, status=code, detail=detail, **extra)
    # A refusal may quote what a plugin said, or what was asked: neither need be text that UTF-8 can hold.
    return ProblemResponse(
        clean_data(problem.model_dump(exclude_none=True), DETAIL_CHARS),
        status=code,
        content_type=CONTENT_TYPE,
    )


def _flat(fields: Any, prefix: str = "") -> dict[str, list[str]]:
    flat: dict[str, list[str]] = {}
    for name, value in fields.items():
        where = "__all__" if name == "non_field_errors" else f"{prefix}{name}"
        if isinstance(value, dict):
            flat.update(_flat(value, prefix=f"{where}."))
        else:
            flat[where] = [str(item) for item in (value if isinstance(value, list) else [value])]
    return flat


def _sentence(fields: Any) -> str:
    return "; ".join(f"{name}: {' '.join(messages)}" for name, messages in _flat(fields).items())

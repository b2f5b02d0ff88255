"""Answers that need not be sent again: an ETag of what they say, and 304 to one who has it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.http import HttpRequest
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder


def answer(request: Request, data: Any) -> Any:
    """Return ``data`` with an ETag of its content, or 304 if the request has it already."""
    text = json.dumps(data, cls=JSONEncoder, sort_keys=True).encode()
    etag = quote_etag(hashlib.sha256(text).hexdigest()[:32])
    return not_modified(request, etag) or Response(
        data, headers={"ETag": etag, "Cache-Control": "private, no-cache"}
    )


def not_modified(request: Request, etag: str) -> Any:
    """Return 304 if the request already has what ``etag`` names, else None."""
    plain = request._request
    assert isinstance(plain, HttpRequest)
    response = get_conditional_response(plain, etag=etag)
    return response if response is not None and response.status_code == 304 else None

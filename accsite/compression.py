"""Compresses pages, styles and scripts on their way to the browser, so that readable sources cost nothing there."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

COMPRESSED = frozenset(
    {"text/html", "text/css", "text/javascript", "application/javascript", "image/svg+xml"}
)


class CompressionMiddleware(GZipMiddleware):
    """Django's compression, for whole answers of text that a page is made of; others keep their length.

    A page holds a token against forgery. Django masks it anew in each answer, and this middleware pads each answer
    by a random length, so that the sizes of compressed pages do not tell it (the BREACH attack).
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Return the answer, compressed if it is worth it and the browser can read it."""
        kind = response.get("Content-Type", "").partition(";")[0]
        whole = response.status_code != HTTPStatus.PARTIAL_CONTENT and not response.streaming
        if not whole or kind not in COMPRESSED:
            return response
        return super().process_response(request, response)

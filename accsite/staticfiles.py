"""Serves static files under ASGI without holding a thread or a warning per file."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware

from accsite.minify import is_ours, minified


class StaticMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """WhiteNoise with answers read whole: under ASGI Django would do so too, and warn about each one."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        """Return the file, or 304, 405 or 416 with no body.

        Scripts and styles of ours are minified, unless collectstatic has done it; they are never cut to a range.
        """
        name = request.path_info.removeprefix(f"/{settings.STATIC_URL.strip('/')}/")
        ours = getattr(settings, "WHITENOISE_AUTOREFRESH", False) and is_ours(name)
        meta = {key: value for key, value in request.META.items() if not (ours and key == "HTTP_RANGE")}
        if "HTTP_IF_NONE_MATCH" in meta:
            # The tag of a compressed answer is a weak one, which WhiteNoise does not know.
            meta["HTTP_IF_NONE_MATCH"] = meta["HTTP_IF_NONE_MATCH"].removeprefix("W/")
        found = static_file.get_response(request.method, meta)
        body = b""
        if found.file is not None:
            with found.file:
                body = found.file.read()
            if ours and request.method == "GET":
                body = minified(name, body)
        response = HttpResponse(body, status=int(found.status))
        del response["Content-Type"]
        for key, value in found.headers:
            response[key] = str(len(body)) if ours and key.lower() == "content-length" else value
        return response

"""Health for supervisors and load balancers: ``/healthz`` (this process answers), ``/readyz`` (it can work).

Answered before everything else: a probe has no session, knows no host name and speaks no TLS.
"""

from __future__ import annotations

from collections.abc import Callable

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from accsite import schema

PROBE_SECONDS = 1.0


class HealthMiddleware:
    """Answers the two addresses and passes on the rest."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the answer."""
        if request.path_info == "/healthz":
            return _uncached(HttpResponse("ok\n", content_type="text/plain"))
        if request.path_info == "/readyz":
            parts = {"database": database(), "redis": redis_server()}
            return _uncached(JsonResponse(parts, status=200 if set(parts.values()) == {"ok"} else 503))
        return self.get_response(request)


def database() -> str:
    """Return ``ok``, or in a word what is wrong; details are for the doctor, not for whoever asks."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "unreachable"
    try:
        return "ok" if schema.is_right() else "other schema"
    except DatabaseError:  # there is not even a table of migrations
        return "not migrated"


def redis_server() -> str:
    """Return ``ok`` if Redis answers within a second, else ``unreachable``."""
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=PROBE_SECONDS, socket_connect_timeout=PROBE_SECONDS
    )
    try:
        client.ping()
    except (redis.RedisError, OSError):
        return "unreachable"
    finally:
        client.close()
    return "ok"


def _uncached(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response

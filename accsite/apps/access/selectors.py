"""Reads of the access app."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from accsite.apps.access.permissions import may_operate

__all__ = ["client_address", "live_sessions", "may_operate"]


def client_address(request: HttpRequest) -> str:
    """Return the address that the request came from, as the outermost of our own proxies saw it.

    ``ACC_PROXIES`` of them stand in front. Each adds to the right of X-Forwarded-For what it was called from;
    what is further left was written by the client, who may write anything.
    """
    seen = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
    if 0 < settings.ACC_PROXIES <= len(seen):
        return seen[-settings.ACC_PROXIES]
    return str(request.META.get("REMOTE_ADDR", ""))


def live_sessions(keys: Collection[str | None]) -> dict[str, Any]:
    """Return session key -> user id of those sessions that still sign an active user in."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    alive: dict[str, Any] = {}
    for key in filter(None, keys):
        # Django's own check: expiry, backend, the hash of the password, and whether the user is active.
        user = get_user(SimpleNamespace(session=store(key)))  # type: ignore[arg-type]
        if user.is_authenticated:
            alive[key] = user.pk
    return alive

"""Reads of the access app."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user


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

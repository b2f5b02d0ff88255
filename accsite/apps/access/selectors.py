"""Reads of the access app."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest
from django.utils import timezone

from accsite.apps.access.models import ApiToken
from accsite.apps.access.permissions import may_operate

__all__ = ["client_address", "live_credentials", "may_operate"]

TOKEN = "token:"  # noqa: S105 - what a credential begins with, not one
"""What the credential of a socket begins with when it is the digest of a token, and not a session."""


def client_address(request: HttpRequest) -> str:
    """Return the address that the request came from, as the outermost of our own proxies saw it.

    ``ACC_PROXIES`` of them stand in front. Each adds to the right of X-Forwarded-For what it was called from;
    what is further left was written by the client, who may write anything.
    """
    seen = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
    if 0 < settings.ACC_PROXIES <= len(seen):
        return seen[-settings.ACC_PROXIES]
    return str(request.META.get("REMOTE_ADDR", ""))


def live_credentials(credentials: Collection[str | None]) -> dict[str, Any]:
    """Return credential -> user id of those session keys and token digests that still sign an active user in."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    digests = {text[len(TOKEN) :] for text in filter(None, credentials) if text.startswith(TOKEN)}
    tokens = ApiToken.objects.filter(digest__in=digests, user__is_active=True, expiry__gt=timezone.now())
    alive: dict[str, Any] = {TOKEN + digest: user for digest, user in tokens.values_list("digest", "user")}
    for key in filter(None, credentials):
        if not key.startswith(TOKEN):
            # Django's own check: expiry, backend, the hash of the password, and whether the user is active.
            user = get_user(SimpleNamespace(session=store(key)))  # type: ignore[arg-type]
            if user.is_authenticated:
                alive[key] = user.pk
    return alive

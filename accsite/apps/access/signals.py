"""Signing in and out, by whatever door."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest

from accsite.apps.access.selectors import client_address
from accsite.apps.audit import services
from accsite.apps.audit.models import Via


@receiver(user_logged_in)
def _signed_in(request: HttpRequest | None, user: Any, **_: Any) -> None:
    _record("sign in", request, user)


@receiver(user_logged_out)
def _signed_out(request: HttpRequest | None, user: Any, **_: Any) -> None:
    _record("sign out", request, user)


def _record(action: str, request: HttpRequest | None, user: Any) -> None:
    # A test client signs in with a request that has no address; that is not somebody's doing.
    if user is None or request is None or not request.META.get("REMOTE_ADDR"):
        return
    services.record(
        actor=user,
        via=Via.PAGE,
        action=action,
        about={f"user:{user.get_username()}"},
        detail={},
        address=client_address(request),
    )

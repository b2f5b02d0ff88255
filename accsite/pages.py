"""What the pages of all apps share."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme

REFUSED = 422


def is_partial(request: HttpRequest) -> bool:
    """Return whether a script asks for one panel rather than a browser for a page."""
    return request.headers.get("HX-Request") == "true"


def back(request: HttpRequest, otherwise: str) -> HttpResponse:
    """Return a redirect to the page that the form was on, if it is ours, else to ``otherwise``."""
    where = request.headers.get("Referer", "")
    ours = url_has_allowed_host_and_scheme(
        where, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return redirect(where if ours else otherwise)


def actor(request: HttpRequest) -> User:
    """Return who is signed in: no page is served to anybody else."""
    assert isinstance(request.user, User)
    return request.user

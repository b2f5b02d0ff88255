"""What the pages of all apps share."""

from __future__ import annotations

from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme

M = TypeVar("M", bound=Model)

REFUSED = 422
"""The status of a page whose form was refused; it says why."""


def visible_row(rows: QuerySet[M], what: str, **by: Any) -> M:
    """Return the one of ``rows``, which are those that the viewer may see, that an address names; raises Http404."""
    found = rows.filter(**by).first()
    if found is None:
        raise Http404(f"there is no {what} that you may see")
    return found


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

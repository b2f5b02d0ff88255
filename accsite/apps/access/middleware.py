"""Holds what pages are sent against the roles, in one place, before any view runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from accsite import problems
from accsite.apps.access import permissions

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# They answer for themselves: signing in and one's own profile; the API and the admin by their own permissions.
EXEMPT = frozenset({"access", "api", "admin"})


class RoleMiddleware:
    """Refuses (403) what a page is sent by those who may not change what it is about."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on; 400 for an address with a zero byte, which no database can look for."""
        if "\x00" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            title = "The request could not be read"
            return problems.refusal(request.path, 400, title, "the address holds a zero byte")
        return self.get_response(request)

    def process_view(self, request: HttpRequest, _view: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        """Raise PermissionDenied unless the user may do this."""
        if request.method in SAFE or not request.user.is_authenticated or request.resolver_match is None:
            return
        match = request.resolver_match
        if match.namespace in EXEMPT or request.path.startswith(("/api/", "/admin/")):
            return
        if not permissions.may_post(request.user, match.namespace, match.url_name or "", kwargs):
            raise PermissionDenied("your role, or what was shared with you, lets you look but not change")

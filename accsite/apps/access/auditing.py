"""Writes one entry for each request that changed something, whichever view it was for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException, UnreadablePostError
from rest_framework.exceptions import APIException

from acc.errors import InvalidInput
from accsite.apps.access.selectors import client_address
from accsite.apps.audit import services
from accsite.apps.audit.models import Via
from accsite.apps.audit.trail import Trail, recording

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# Signing in and out has signals of its own, since it is also done by following a link.
SIGNING = frozenset({"access:sign-in", "access:sign-out", "access:link"})
# Fields of a request that say what was asked; all others, whole specifications and secrets among them, are left out.
TELLING = frozenset(
    [
        "kind",
        "name",
        "level",
        "user",
        "visibility",
        "weight",
        "lr",
        "enabled",
        "verb",
        "direction",
        "priority",
        "position",
        "tag",
        "starred",
        "scope",
        "recipe",
        "generator",
        "task",
        "branch",
        "experiment",
        "checkpoint",
        "steps",
        "remove",
        "restore",
        "move",
        "action",
    ]
)
MAX_TEXT = 80
VERBS = {"partial_update": "change", "update": "change", "destroy": "delete"}

log = structlog.get_logger(__name__)


class AuditMiddleware:
    """Records who did it, by which route, to what, once the answer says that it was done."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, and record it."""
        if request.method in SAFE:
            return self.get_response(request)
        with recording() as trail:
            response = self.get_response(request)
        match = request.resolver_match
        if match is None or match.view_name in SIGNING or trail.of_no_matter or not _done(request, response):
            return response
        try:
            self._record(request, response, trail)
        except DatabaseError:
            # It was done and is committed: an error would say that it was not.
            log.exception("an entry of the audit log could not be written", action=match.view_name)
        return response

    def _record(self, request: HttpRequest, response: HttpResponse, trail: Trail) -> None:
        action, about = _described(request)
        services.record(
            actor=request.user,
            via=_via(request),
            action=trail.action or action,
            about=trail.about | about,
            detail={**_told(request, response), **trail.detail},
            address=client_address(request),
        )


def _done(request: HttpRequest, response: HttpResponse) -> bool:
    """Return whether the answer says that something was done: the admin shows its refusals with 200."""
    if not request.user.is_authenticated:
        return False
    return 300 <= response.status_code < 400 if _via(request) is Via.ADMIN else response.status_code < 400


def _via(request: HttpRequest) -> Via:
    if request.path.startswith("/admin/"):
        return Via.ADMIN
    return Via.API if request.path.startswith("/api/") else Via.PAGE


def _described(request: HttpRequest) -> tuple[str, set[str]]:
    """Return what was done in words, and the object that the address names."""
    match = request.resolver_match
    assert match is not None
    actions = getattr(match.func, "actions", None) or {}
    thing = str((getattr(match.func, "initkwargs", None) or {}).get("basename", ""))
    if thing:
        verb = actions.get((request.method or "").lower(), "")
        action = f"{thing} {VERBS.get(verb, verb)}"
    else:
        action = match.url_name or match.view_name or request.path
        thing = action.partition("-")[0]
    named = match.kwargs.get("pk", match.kwargs.get("slug", match.kwargs.get("object_id")))
    return action.replace("-", " ").replace("_", " "), set() if named is None else {f"{thing}:{named}"}


def _told(request: HttpRequest, response: HttpResponse) -> dict[str, Any]:
    """Return those fields of the request that say what was asked; none of a body that no parser takes.

    An action that takes nothing does not read its body, whatever is in it: read here for the first time, that must
    not make an error of what was done.
    """
    context = getattr(response, "renderer_context", None)
    try:
        data = context["request"].data if context else request.POST
    except (APIException, InvalidInput, RequestDataTooBig, UnreadablePostError, RawPostDataException):
        return {}
    if not isinstance(data, Mapping):
        return {}
    nested = data.get("payload")
    fields = dict(data.items()) if not isinstance(nested, Mapping) else {**dict(data.items()), **nested}
    return {name: _short(value) for name, value in fields.items() if name in TELLING and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _short(value: Any) -> Any:
    return value[:MAX_TEXT] if isinstance(value, str) else value

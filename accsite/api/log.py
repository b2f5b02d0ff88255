"""The audit log over HTTP: who did what to which object."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse
from pydantic import BaseModel
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from acc.errors import InvalidInput
from accsite.api.common import narrowed, query
from accsite.apps.access.permissions import is_administrator
from accsite.apps.audit.models import AuditEntry, Via
from accsite.apps.audit.selectors import entries_about
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Experiment
from accsite.ids import row_id
from accsite.problems import Problem

# What an entry may be about -> whether a user may see the thing with this key.
SEES: dict[str, Callable[[Any, str], bool]] = {
    "experiment": lambda user, key: (
        _number(key) and Experiment.objects.visible_to(user).filter(pk=key).exists()
    ),
    "job": lambda user, key: _number(key) and Job.objects.visible_to(user).filter(pk=key).exists(),
    "dataset": lambda _user, key: Dataset.every.filter(slug=key).exists(),
}


class AuditLine(BaseModel):
    """One thing that was done. ``actor`` is empty for a shell; ``about``: such as ``experiment:3``."""

    id: int
    at: datetime
    actor: str
    via: Via
    action: str
    about: list[str]
    detail: dict[str, Any]


@narrowed(
    query("about", "experiment:3, job:41 or dataset:digits; administrators may leave it out"),
    query("actor", "name of a user"),
    responses={
        200: AuditLine,
        422: OpenApiResponse(Problem, "`about` names nothing that the user may see."),
    },
)
class AuditViewSet(GenericViewSet[AuditEntry]):
    """The audit log."""

    queryset = AuditEntry.objects.none()

    def get_queryset(self) -> QuerySet[AuditEntry]:
        """Return what the user may see of it; raises InvalidInput(about)."""
        query = self.request.query_params
        rows = self._about(query.get("about", ""))
        if actor := query.get("actor"):
            rows = rows.filter(actor_name=actor)
        return rows

    def _about(self, name: str) -> QuerySet[AuditEntry]:
        user = self.request.user
        if is_administrator(user):
            return entries_about(name) if name else AuditEntry.objects.prefetch_related("about")
        kind, _, key = name.partition(":")
        if kind not in SEES or not SEES[kind](user, key):
            right = ", ".join(f"{kind}:…" for kind in SEES)
            raise InvalidInput({"about": f"{name[:120]!r} is nothing that you may see; name one of: {right}"})
        return entries_about(name)

    def list(self, _request: Request, **_: Any) -> Response:
        """List what was done, newest first; of one object, whatever was done to it."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response([state(entry) for entry in page or []])


def state(entry: AuditEntry) -> dict[str, Any]:
    """Return an entry as JSON; the address is for the admin alone."""
    return {
        "id": entry.pk,
        "at": entry.at,
        "actor": entry.actor_name,
        "via": entry.via,
        "action": entry.action,
        "about": [about.name for about in entry.about.all()],
        "detail": entry.detail,
    }


def _number(key: str) -> bool:
    return row_id(key) > 0

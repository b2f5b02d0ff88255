"""What the REST views of training share."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import mixins
from rest_framework.permissions import SAFE_METHODS
from rest_framework.viewsets import GenericViewSet

from acc.errors import InvalidInput
from accsite.apps.training.models import Experiment
from accsite.ids import row_id


class ReadViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[Any]):
    """Lists and shows rows that the user may see."""

    def experiments(self) -> QuerySet[Experiment]:
        """Return the experiments that the user may see; for a request that makes something in one, may change."""
        if self.request.method in SAFE_METHODS or self.detail:
            return Experiment.objects.visible_to(self.request.user)
        return Experiment.objects.changeable_by(self.request.user)

    def filtered(self, rows: QuerySet[Any], **lookups: str) -> QuerySet[Any]:
        """Return ``rows`` narrowed by those query parameters that are given: parameter -> lookup."""
        for name, lookup in lookups.items():
            if value := self.request.query_params.get(name):
                if lookup.endswith("_id") and not row_id(value):
                    raise InvalidInput({name: f"{value[:40]!r} is not an id"})
                rows = rows.filter(**{lookup: value})
        return rows

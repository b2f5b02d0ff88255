"""The REST views of evaluations; measuring is asked for at ``POST /jobs/``."""

from __future__ import annotations

from typing import Any

from django.core.files.storage import default_storage
from django.db.models import QuerySet
from django.http import FileResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from acc.errors import InvalidInput
from accsite.api.common import narrowed
from accsite.apps.evaluation import selectors
from accsite.apps.evaluation.api.serializers import EvaluationSerializer
from accsite.apps.evaluation.models import Artifact, Evaluation
from accsite.ids import row_id

FILTERS = ("branch", "checkpoint", "job")


@narrowed(*(OpenApiParameter(name, OpenApiTypes.INT) for name in FILTERS))
class EvaluationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[Evaluation]):
    """Evaluations: what was measured of checkpoints, newest first."""

    serializer_class = EvaluationSerializer
    ordering_fields = ("id", "step", "seconds", "created_at")
    queryset = Evaluation.objects.none()

    def get_queryset(self) -> QuerySet[Evaluation]:
        rows = selectors.visible_evaluations(self.request.user)
        for name in FILTERS:
            if value := self.request.query_params.get(name):
                if not row_id(value):
                    raise InvalidInput({name: f"{value[:40]!r} is not an id"})
                rows = rows.filter(**{f"{name}_id": value})
        return rows

    @extend_schema(responses={(200, "image/png"): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"], url_path=r"artifacts/(?P<artifact>\d+)")
    def artifact(self, *_: Request, artifact: str, **__: Any) -> FileResponse:
        """Return the bytes of a picture; they never change."""
        found: Artifact = get_object_or_404(self.get_object().artifacts, pk=artifact)
        response = FileResponse(default_storage.open(found.file), content_type=found.media_type)
        response["ETag"] = f'"{found.sha256}"'
        response["Cache-Control"] = "private, max-age=31536000, immutable"
        return response

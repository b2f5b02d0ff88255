"""Studies in the REST API. Each is read by a selector and changed by an action."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from pydantic import BaseModel, Field
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from acc.errors import InvalidInput
from acc.studies.figures import PARTS
from accsite.api.common import REFUSALS, query
from accsite.apps.studies import exporting, selectors
from accsite.apps.studies.models import Study


class StudyClaim(BaseModel):
    """What may be said of a claim."""

    claim: str
    decision: str = Field(description="decided for, decided against, not decided yet, cannot be decided")
    sentence: str = Field(description="all of it, in words")
    p_holm: float | None = Field(description="as it counts among the claims; null before the test may decide")
    n: int = Field(description="pairs of seeds")
    failed: int = Field(description="pairs that have no difference and will not have one")
    more: int | None = Field(
        description="how many more seeds decide in 4 of 5 such studies; null: over 200, or unknown"
    )


class StudySummary(BaseModel):
    """A study as lists show it."""

    slug: str
    name: str
    state: str = Field(description="planned, running, stopping, stopped, failed, done")
    visibility: str
    sha256: str = Field(description="of the plan")
    arms: list[str]
    seeds: int
    done: int
    failed: int
    planned: int = Field(description="arms times seeds")
    claims: list[StudyClaim]
    created_at: datetime


class StudyDetail(StudySummary):
    """A study with its plan and every number."""

    plan: dict[str, Any]
    results: list[dict[str, Any]]
    warnings: list[str]
    sweep: dict[str, Any] | None = Field(
        description="of a sweep: space, sampler, ranking of its trials, importance; null: its arms are not drawn"
    )


@extend_schema_view(list=extend_schema(responses=StudySummary), retrieve=extend_schema(responses=StudyDetail))
class StudyViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[Study]):
    """Studies: arms, seeds and claims."""

    lookup_field = "slug"
    ordering_fields = ("id", "name", "created_at")
    queryset = Study.objects.none()

    def get_queryset(self) -> QuerySet[Study]:
        return Study.objects.visible_to(self.request.user).select_related(
            "run__job", "run__within__run__job", "owner"
        )

    def list(self, *_: Any, **__: Any) -> Response:
        """List studies, newest first."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([selectors.study_summary(study) for study in page or []])

    def retrieve(self, *_: Any, **__: Any) -> Response:
        """Return a study as it is now."""
        return Response(selectors.study_state(self.request.user, self.get_object()))

    @extend_schema(
        operation_id="studies_export",
        parameters=[
            query("form", "The form of the file.", enum=[*exporting.FORMS]),
            query("part", "Of a figure (svg, pdf); all by default.", enum=["all", *PARTS]),
            query("curve", "The loss or metric whose curves are drawn; the weighted total by default."),
        ],
        responses={
            **{
                (200, form.media_type.partition(";")[0]): OpenApiTypes.BINARY
                for form in exporting.FORMS.values()
            },
            422: REFUSALS[422],
        },
    )
    @action(detail=True, methods=["get"])
    def export(self, request: Request, **_: Any) -> HttpResponse:
        """Return every number of a study, a table or figures for a paper, or one page that shows it all, as a file."""
        form = request.query_params.get("form", "csv")
        if form not in exporting.FORMS:
            raise InvalidInput({"form": f"{form[:40]!r} is none of: {', '.join(exporting.FORMS)}"})
        study, kind, asked = self.get_object(), exporting.FORMS[form], request.query_params
        made = kind.made_of(study, asked.get("part", "all"), asked.get("curve", ""))
        disposition = f'attachment; filename="{study.slug}.{kind.ending}"'
        return HttpResponse(made, content_type=kind.media_type, headers={"Content-Disposition": disposition})

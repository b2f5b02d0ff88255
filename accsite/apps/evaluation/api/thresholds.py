"""From where on the metrics of a branch are moderate and good, over HTTP."""

from __future__ import annotations

from typing import Any, Literal

from django.db.models import Q
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, Field
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from acc.errors import InvalidInput
from accsite.api.common import REFUSALS
from accsite.api.lookup import body
from accsite.apps.evaluation import services
from accsite.apps.evaluation.models import Threshold
from accsite.apps.training.models import Branch, Experiment

BRANCH = OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH, description="id of a branch")


class ThresholdState(BaseModel):
    """From where on a metric is moderate and good. ``task``: a task's key, empty for the whole model."""

    task: str
    metric: str
    moderate: float
    good: float
    set_for: Literal["branch", "site"]


class Thresholds(BaseModel):
    """What was set for a branch, and for the site where the branch has none of its own."""

    thresholds: list[ThresholdState]


class ThresholdChange(BaseModel):
    """A metric that was measured on the branch. Both numbers null: back to those of the site, or of the task."""

    task: str = ""
    metric: str
    moderate: float | None = Field(default=None)
    good: float | None = Field(default=None)


class ThresholdsView(APIView):
    """The thresholds of one branch."""

    @extend_schema(operation_id="branches_thresholds_list", parameters=[BRANCH], responses=Thresholds)
    def get(self, request: Request, id: int) -> Response:
        """Return what was set, the branch's own before the site's."""
        return Response(state(self._branch(request, id)))

    @extend_schema(
        operation_id="branches_thresholds_set",
        parameters=[BRANCH],
        request=ThresholdChange,
        responses={200: Thresholds, **REFUSALS},
    )
    def post(self, request: Request, id: int) -> Response:
        """Set, or take back, from where on a metric is moderate and good."""
        branch = self._branch(request, id)
        self.check_object_permissions(request, branch)
        data = body(request, *ThresholdChange.model_fields)
        try:
            services.set_threshold(
                actor=request.user,
                branch=branch,
                task_key=str(data.get("task", "")),
                name=str(data.get("metric", "")),
                moderate=data.get("moderate"),
                good=data.get("good"),
            )
        except InvalidInput as error:
            raise InvalidInput(
                {{"name": "metric"}.get(name, name): said for name, said in error.fields.items()}
            ) from None
        return Response(state(branch))

    def _branch(self, request: Request, pk: int) -> Branch:
        seen = Experiment.objects.visible_to(request.user)
        return get_object_or_404(Branch.objects.filter(experiment__in=seen), pk=pk)


def state(branch: Branch) -> dict[str, Any]:
    """Return the thresholds that hold on a branch as JSON."""
    found: dict[tuple[str, str], Threshold] = {}
    for row in Threshold.objects.filter(Q(branch=branch) | Q(branch=None)):
        key = (row.task_key, row.name)
        if key not in found or row.branch_id is not None:
            found[key] = row
    return {
        "thresholds": [
            {
                "task": task,
                "metric": name,
                "moderate": row.moderate,
                "good": row.good,
                "set_for": "site" if row.branch_id is None else "branch",
            }
            for (task, name), row in sorted(found.items())
        ]
    }

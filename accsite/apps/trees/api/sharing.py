"""Who may see and change an experiment, over HTTP."""

from __future__ import annotations

from typing import Any, Literal

from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from pydantic import BaseModel, Field
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accsite.api.lookup import body, nested
from accsite.apps.training.access import may_manage
from accsite.apps.training.models import Experiment
from accsite.apps.trees.services.sharing import set_sharing
from accsite.problems import Problem


class Sharing(BaseModel):
    """Who may see and change an experiment besides its owner."""

    owner: str | None
    visibility: str = Field(description="site: everyone; private: its owner, and those it is shared with")
    shares: dict[str, Literal["view", "change"]] = Field(description="name of a user -> what they may do")


class SharingChange(BaseModel):
    """What is to change; who is not named keeps what they have."""

    visibility: str | None = Field(default=None, description="site or private")
    shares: dict[str, Literal["view", "change"] | None] = Field(
        default_factory=dict, description="null takes a share back"
    )


class SharingView(APIView):
    """The sharing of one experiment."""

    @extend_schema(operation_id="experiments_sharing_retrieve", responses=Sharing)
    def get(self, request: Request, slug: str) -> Response:
        """Return who may see and change an experiment."""
        return Response(state(self._experiment(request, slug)))

    @extend_schema(
        operation_id="experiments_sharing_change",
        request=SharingChange,
        responses={200: Sharing, 422: OpenApiResponse(Problem, "The input was refused.")},
    )
    def patch(self, request: Request, slug: str) -> Response:
        """Share an experiment, or take shares back (its owner, and administrators)."""
        experiment = self._experiment(request, slug)
        if not may_manage(request.user, experiment):
            raise PermissionDenied("only its owner and administrators may share an experiment")
        data = body(request, "visibility", "shares")
        changed = set_sharing(
            actor=request.user,
            experiment=experiment,
            visibility=data.get("visibility"),
            shares=nested(data, "shares"),
        )
        return Response(state(changed))

    def _experiment(self, request: Request, slug: str) -> Experiment:
        return get_object_or_404(Experiment.objects.visible_to(request.user), slug=slug)


def state(experiment: Experiment) -> dict[str, Any]:
    """Return an experiment's sharing as JSON."""
    rows = experiment.shares.select_related("user")
    return {
        "owner": experiment.owner.get_username() if experiment.owner else None,
        "visibility": experiment.visibility,
        "shares": {row.user.get_username(): row.level for row in rows},
    }

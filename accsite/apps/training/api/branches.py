"""The REST views of branches: named lines of work in an experiment."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accsite.actions import perform
from accsite.api.common import REFUSALS, narrowed, query
from accsite.api.lookup import body, named
from accsite.apps.training.actions.change_branch import ChangeBranch
from accsite.apps.training.actions.load_checkpoint import LoadCheckpoint
from accsite.apps.training.api import schema
from accsite.apps.training.api.common import ReadViewSet
from accsite.apps.training.api.serializers import BranchSerializer
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.services import experiments


@narrowed(query("experiment", "slug of an experiment"))
class BranchViewSet(ReadViewSet):
    """Branches: named lines of work."""

    serializer_class = BranchSerializer
    queryset = Branch.objects.none()
    ordering_fields = ("name", "created_at")

    def get_queryset(self) -> QuerySet[Branch]:
        """Return what the user may see."""
        rows = Branch.objects.filter(experiment__in=self.experiments()).select_related("experiment")
        return self.filtered(rows, experiment="experiment__slug")

    @extend_schema(request=schema.BranchRequest, responses={201: BranchSerializer, **REFUSALS})
    def create(self, request: Request) -> Response:
        """Make a branch, from a checkpoint (a fork) or from the seed."""
        data = body(request, *schema.BranchRequest.model_fields)
        experiment = named(self.experiments(), "experiment", data.get("experiment"), by="slug")
        checkpoint = None
        if data.get("from_checkpoint") is not None:
            rows = Checkpoint.objects.filter(experiment__in=self.experiments())
            checkpoint = named(rows, "from_checkpoint", data["from_checkpoint"])
        made = experiments.create_branch(
            actor=request.user,
            experiment=experiment,
            name=data.get("name", ""),
            from_checkpoint=checkpoint,
            tasks=data.get("tasks", experiments.ALL_TASKS),
        )
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=ChangeBranch, responses={200: BranchSerializer, **REFUSALS})
    def partial_update(self, request: Request, **_: Any) -> Response:
        """Rename the branch, whose address follows, or set when its checkpoints are measured by themselves."""
        branch = self.get_object()
        data = body(request, *ChangeBranch.model_fields)
        perform(ChangeBranch, actor=request.user, thing=branch, data=data)
        return Response(self.get_serializer(branch).data)

    @extend_schema(request=LoadCheckpoint, responses={200: BranchSerializer, **REFUSALS})
    @action(detail=True, methods=["post"])
    def load(self, request: Request, **_: Any) -> Response:
        """Make a checkpoint of the experiment the branch's head; refused while a job trains on the branch."""
        branch = self.get_object()
        data = {"checkpoint": None, **body(request, "checkpoint")}
        perform(LoadCheckpoint, actor=request.user, thing=branch, data=data)
        return Response(self.get_serializer(self.get_object()).data)

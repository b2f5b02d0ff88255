"""The REST views of experiments, their trees and their branches."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from acc.errors import InvalidInput
from accsite.api.common import REFUSED, narrowed, query
from accsite.api.conditional import answer
from accsite.api.lookup import body, flag, named, nested
from accsite.apps.jobs.services.unit import unit_of_work
from accsite.apps.training import selectors
from accsite.apps.training.api import schema
from accsite.apps.training.api.common import ReadViewSet
from accsite.apps.training.api.serializers import BranchSerializer, ExperimentSerializer
from accsite.apps.training.models import Branch, Checkpoint, Experiment
from accsite.apps.training.services import branches, deletion, experiments, measuring, retention


@narrowed(
    query("q", "part of the name"),
    query("owner", "name of a user"),
    query("visibility", "site or private"),
)
class ExperimentViewSet(ReadViewSet):
    """Experiments: one model and everything grown from it."""

    ordering_fields = ("name", "created_at")
    serializer_class = ExperimentSerializer
    lookup_field = "slug"
    queryset = Experiment.objects.none()

    def get_queryset(self) -> QuerySet[Experiment]:
        found = Branch.objects.select_related("experiment")
        rows = self.experiments().select_related("owner").prefetch_related(Prefetch("branches", found))
        if self.action != "list":
            return rows
        return self.filtered(rows, q="name__icontains", owner="owner__username", visibility="visibility")

    @extend_schema(request=schema.ExperimentRequest, responses={201: ExperimentSerializer, **REFUSED})
    def create(self, request: Request) -> Response:
        """Make an experiment with its branch ``main``."""
        data = body(request, "name", "model", "visibility")
        made = experiments.create_experiment(
            actor=request.user,
            name=data.get("name", ""),
            model=data.get("model") or {},
            visibility=data.get("visibility", "site"),
        )
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=schema.ExperimentChange, responses={200: ExperimentSerializer, **REFUSED})
    def partial_update(self, request: Request, **_: Any) -> Response:
        """Change what pruning keeps; null for the site's policy."""
        experiment = self.get_object()
        data = body(request, "retention")
        if "retention" not in data:
            raise InvalidInput({"__all__": "nothing to change; send retention"})
        retention.set_retention(actor=request.user, experiment=experiment, policy=data["retention"])
        return Response(self.get_serializer(experiment).data)

    @extend_schema(
        parameters=[query("metric", "a name among `metrics`; default: loss/total")],
        responses={200: schema.Tree, 304: None, 422: REFUSED[422]},
        filters=False,
    )
    @action(detail=True, methods=["get"], pagination_class=None)
    def tree(self, request: Request, **_: Any) -> Any:
        """Return every node of the tree as compact columns, without specifications and histories."""
        found = selectors.tree(self.get_object(), request.query_params.get("metric", ""))
        return answer(request, selectors.compact(found))

    @extend_schema(request=schema.PruneRequest, responses={200: schema.PruneAnswer, **REFUSED})
    @action(detail=True, methods=["post"])
    def prune(self, request: Request, **_: Any) -> Response:
        """Prune by the experiment's policy; with `dry_run` only say what would go and how many bytes."""
        experiment = self.get_object()
        data = body(request, "dry_run", "policy")
        policy = nested(data, "policy") or None
        if flag(data, "dry_run", default=True):
            plan = retention.plan_pruning(experiment, policy)
            return Response({**plan.as_dict(), "deletion": None})
        done, made = retention.prune(actor=request.user, experiment=experiment, policy=policy)
        return Response({**done.as_dict(), "deletion": str(made.id) if made else None})

    @extend_schema(request=schema.RestoreRequest, responses={200: schema.Restored, **REFUSED})
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, **_: Any) -> Response:
        """Undo a deletion of checkpoints."""
        data = body(request, "deletion")
        rows = deletion.restore_deletion(
            actor=request.user, experiment=self.get_object(), deletion=data.get("deletion")
        )
        return Response({"checkpoints": sorted(row.pk for row in rows)})


@narrowed(query("experiment", "slug of an experiment"))
class BranchViewSet(ReadViewSet):
    """Branches: named lines of work."""

    serializer_class = BranchSerializer
    queryset = Branch.objects.none()
    ordering_fields = ("name", "created_at")

    def get_queryset(self) -> QuerySet[Branch]:
        rows = Branch.objects.filter(experiment__in=self.experiments()).select_related("experiment")
        return self.filtered(rows, experiment="experiment__slug")

    @extend_schema(request=schema.BranchRequest, responses={201: BranchSerializer, **REFUSED})
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

    @extend_schema(request=schema.BranchChange, responses={200: BranchSerializer, **REFUSED})
    def partial_update(self, request: Request, **_: Any) -> Response:
        """Rename the branch, whose address follows, or set when its checkpoints are measured by themselves."""
        branch = self.get_object()
        data = body(request, "name", "auto_evaluate", "evaluate_every")
        with unit_of_work():
            if "name" in data or not data:
                branches.rename_branch(actor=request.user, branch=branch, name=data.get("name", ""))
            if data.keys() & {"auto_evaluate", "evaluate_every"}:
                when = data.get("auto_evaluate", branch.auto_evaluate)
                every = data.get("evaluate_every", branch.evaluate_every)
                measuring.set_auto_evaluate(actor=request.user, branch=branch, when=when, every=every)
        return Response(self.get_serializer(branch).data)

    @extend_schema(request=schema.LoadRequest, responses={200: BranchSerializer, **REFUSED})
    @action(detail=True, methods=["post"])
    def load(self, request: Request, **_: Any) -> Response:
        """Make a checkpoint of the experiment the branch's head; refused while a job trains on the branch."""
        branch = self.get_object()
        data = body(request, "checkpoint")
        rows = Checkpoint.objects.filter(experiment__in=self.experiments())
        checkpoint = named(rows, "checkpoint", data.get("checkpoint"))
        branches.load_checkpoint(actor=request.user, branch=branch, checkpoint=checkpoint)
        return Response(self.get_serializer(self.get_object()).data)

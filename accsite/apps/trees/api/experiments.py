"""The REST views of experiments and their trees."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from acc.errors import InvalidInput
from accsite.actions import perform
from accsite.api.common import REFUSALS, narrowed, query
from accsite.api.conditional import answer
from accsite.api.lookup import body, flag, nested
from accsite.apps.datasets import selectors as datasets
from accsite.apps.training.api.common import ReadViewSet
from accsite.apps.training.models import Branch, Experiment
from accsite.apps.training.services.beginnings import begin_experiment
from accsite.apps.trees import selectors
from accsite.apps.trees.actions.restore_checkpoints import RestoreCheckpoints
from accsite.apps.trees.api import schema
from accsite.apps.trees.api.serializers import ExperimentSerializer
from accsite.apps.trees.services import retention


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

    @extend_schema(request=schema.ExperimentRequest, responses={201: ExperimentSerializer, **REFUSALS})
    def create(self, request: Request) -> Response:
        """Make an experiment with its branch ``main``: empty, or with the tasks of a method on a dataset."""
        data = body(request, "name", "model", "visibility", "dataset", "method", "method_params")
        made = begin_experiment(
            actor=request.user,
            name=data.get("name", ""),
            model=nested(data, "model"),
            visibility=data.get("visibility", "site"),
            dataset=datasets.get(data["dataset"]) if data.get("dataset") else None,
            method=data.get("method") or "",
            method_params=nested(data, "method_params"),
        )
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=schema.ExperimentChange, responses={200: ExperimentSerializer, **REFUSALS})
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
        responses={200: schema.Tree, 304: None, 422: REFUSALS[422]},
        filters=False,
    )
    @action(detail=True, methods=["get"], pagination_class=None)
    def tree(self, request: Request, **_: Any) -> Any:
        """Return every node of the tree as compact columns, without specifications and histories."""
        found = selectors.tree(self.get_object(), request.query_params.get("metric", ""))
        return answer(request, selectors.compact(found))

    @extend_schema(request=schema.PruneRequest, responses={200: schema.PruneAnswer, **REFUSALS})
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

    @extend_schema(request=RestoreCheckpoints, responses={200: schema.Restored, **REFUSALS})
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, **_: Any) -> Response:
        """Undo a deletion of checkpoints."""
        data = {"deletion": None, **body(request, "deletion")}
        rows = perform(RestoreCheckpoints, actor=request.user, thing=self.get_object(), data=data)
        return Response({"checkpoints": sorted(row.pk for row in rows)})

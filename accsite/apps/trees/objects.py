"""What the faces of actions need to know of experiments and checkpoints: see ``accsite.actions``."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from accsite import actions
from accsite.apps.training.models import Checkpoint, Experiment
from accsite.apps.training.selectors.jobs import find_experiment
from accsite.apps.trees.selectors import find_checkpoint_named


def register() -> None:
    """Let them have actions; called once when Django is ready."""
    actions.register(
        actions.Things(
            model=Experiment,
            namespace="trees",
            plural="experiments",
            seen_by=_experiments,
            find=find_experiment,
            word=lambda experiment: experiment.slug,
            page=lambda experiment: reverse("trees:experiment", args=[experiment.slug]),
            answer=actions.serialized("accsite.apps.trees.api.serializers.ExperimentSerializer"),
            address="<slug:slug>",
        ),
        actions.Things(
            model=Checkpoint,
            namespace="trees",
            plural="checkpoints",
            seen_by=_checkpoints,
            find=find_checkpoint_named,
            word=lambda checkpoint: str(checkpoint.pk),
            page=lambda checkpoint: reverse("trees:checkpoint", args=[checkpoint.pk]),
            answer=actions.serialized("accsite.apps.trees.api.serializers.CheckpointSerializer"),
            show=_show_checkpoint,
        ),
    )


def _experiments(user: Any) -> QuerySet[Experiment]:
    return Experiment.objects.visible_to(user).select_related("owner")


def _checkpoints(user: Any) -> QuerySet[Checkpoint]:
    rows = Checkpoint.objects.filter(experiment__in=Experiment.objects.visible_to(user))
    return rows.select_related("experiment", "branch__experiment", "parent", "job", "created_by")


def _show_checkpoint(
    request: HttpRequest, checkpoint: Checkpoint, status: int, extra: dict[str, Any]
) -> HttpResponse:
    from accsite.apps.trees.views.checkpoints import show

    return show(request, checkpoint, status=status, **extra)

"""What the faces of actions need to know of a branch: see ``accsite.actions``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from acc.errors import InvalidInput
from accsite import actions
from accsite.apps.training.models import Branch, Experiment
from accsite.apps.training.selectors import find_branch


def register() -> None:
    """Let branches have actions; called once when Django is ready."""
    actions.register(
        actions.Things(
            model=Branch,
            namespace="training",
            plural="branches",
            seen_by=_branches,
            find=_find_branch,
            word=str,
            page=lambda branch: reverse("training:workbench", args=[branch.experiment.slug, branch.slug]),
            answer=_branch_in_the_api,
        )
    )


def _branches(user: Any) -> QuerySet[Branch]:
    rows = Branch.objects.filter(experiment__in=Experiment.objects.visible_to(user))
    return rows.select_related("experiment", "head")


def _find_branch(user: Any, name: str) -> Branch:
    experiment, slash, branch = name.partition("/")
    if not slash:
        raise InvalidInput({"branch": f"{name!r} is not EXPERIMENT/BRANCH, such as digits/main"})
    return find_branch(user, experiment, branch)


def _branch_in_the_api() -> tuple[Any, Callable[[Any], Any]]:
    from accsite.apps.training.api.serializers import BranchSerializer

    return BranchSerializer, lambda branch: BranchSerializer(branch).data

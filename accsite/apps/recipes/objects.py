"""What the faces of actions need to know of runs of recipes: see ``accsite.actions``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from accsite import actions
from accsite.apps.recipes import selectors
from accsite.apps.recipes.models import RecipeRun
from accsite.ids import row_id


def register() -> None:
    actions.register(
        actions.Things(
            model=RecipeRun,
            namespace="recipes",
            plural="recipes/runs",
            called="recipe-run",
            command="recipes",
            seen_by=_seen,
            find=lambda user, number: selectors.find_run(user, row_id(number) or 0),
            word=lambda run: str(run.pk),
            page=lambda run: reverse("recipes:recipe-run", args=[run.pk]),
            answer=_in_the_api,
        ),
    )


def _seen(user: Any) -> QuerySet[RecipeRun]:
    return RecipeRun.objects.visible_to(user).select_related("job__branch", "job__worker")


def _in_the_api() -> tuple[Any, Callable[[Any], Any]]:
    from accsite.apps.recipes.api.views import RunSummary

    return RunSummary, selectors.run_summary

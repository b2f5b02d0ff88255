"""How recipes and their runs are found by a few letters: see ``accsite.search``."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from accsite import search
from accsite.apps.recipes.selectors import seen_runs
from accsite.apps.registry.models import PluginKind
from accsite.apps.registry.selectors import available
from accsite.search.rows import best


def register() -> None:
    search.register("recipe", _recipes)
    search.register("recipe-run", _runs)
    search.register_pages(
        search.Page("Recipes", "recipes:recipes", "programs that build trees", "curriculum runs")
    )


def _recipes(_user: Any, query: search.Query, limit: int) -> list[search.Found]:
    rows: QuerySet[Any] = best(available(PluginKind.RECIPE), query, "label", "name", "path").only(
        "label", "name", "path"
    )
    return [
        search.Found(
            "recipe", row.label, f"recipe, {row.path}", reverse("recipes:recipe", args=[row.name]), row.rank
        )
        for row in rows[:limit]
    ]


def _runs(user: Any, query: search.Query, limit: int) -> list[search.Found]:
    rows: QuerySet[Any] = best(seen_runs(user), query, "label", "recipe", numbered=True).select_related("job")
    return [
        search.Found(
            "recipe-run",
            f"{row.label}, run {row.pk}",
            f"run of a recipe, {row.job.words.label}" if row.job else "run of a recipe",
            reverse("recipes:recipe-run", args=[row.pk]),
            row.rank,
        )
        for row in rows[:limit]
    ]

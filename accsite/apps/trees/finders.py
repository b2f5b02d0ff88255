"""How experiments and checkpoints are found by a few letters: see ``accsite.search``."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from accsite import search
from accsite.apps.access.permissions import may_write
from accsite.apps.training.models import Checkpoint, Visibility
from accsite.apps.training.selectors.jobs import seen_experiments
from accsite.apps.trees.names import numbered
from accsite.search.rows import best


def register() -> None:
    search.register("experiment", _experiments)
    search.register("checkpoint", _checkpoints)
    search.register_pages(
        search.Page("Experiments", "trees:experiments", "trees of checkpoints", "models architecture"),
        search.Page(
            "New experiment", "trees:experiment-new", "choose a model", "model create", may=may_write
        ),
        search.Page(
            "Import a checkpoint",
            "trees:experiment-import",
            "from another installation",
            "zip",
            may=may_write,
        ),
    )


def _experiments(user: Any, query: search.Query, limit: int) -> list[search.Found]:
    rows: QuerySet[Any] = best(seen_experiments(user), query, "name", "slug").defer("model_spec", "retention")
    private = f"experiment, {Visibility.PRIVATE.value}"
    return [
        search.Found(
            "experiment",
            row.name,
            private if row.visibility == Visibility.PRIVATE else "experiment",
            reverse("trees:experiment", args=[row.slug]),
            row.rank,
        )
        for row in rows[:limit]
    ]


def _checkpoints(user: Any, query: search.Query, limit: int) -> list[search.Found]:
    rows: QuerySet[Any] = Checkpoint.objects.filter(experiment__in=seen_experiments(user))
    holding = ("kind", "note", "branch__slug", "branch__name", "experiment__name")
    matching = best(rows, query, "tag", *holding, numbered=True).select_related("branch__experiment")
    matching = matching.only("tag", "step", "kind", "branch__slug", "branch__experiment__slug", "starred")
    return [
        search.Found(
            "checkpoint",
            numbered(row),
            f"{row.branch}, {row.get_kind_display()}{', starred' if row.starred else ''}",
            reverse("trees:checkpoint", args=[row.pk]),
            row.rank,
        )
        for row in matching[:limit]
    ]

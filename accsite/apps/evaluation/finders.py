"""How pages of evaluation, and factors by what was measured of them, are found: see ``accsite.search``."""

from __future__ import annotations

from typing import Any

from django.db.models import Max
from django.urls import reverse

from accsite import search
from accsite.apps.evaluation.models import Evaluation
from accsite.apps.training.models import Checkpoint
from accsite.apps.training.selectors.jobs import seen_experiments

LOOKED_AT = 300
"""Experiments, the newest, whose factors are looked at: their names lie within the specifications of models."""


def register() -> None:
    search.register("factor", _factors)
    search.register_pages(
        search.Page("Evaluate", "evaluation:home", "metrics and pictures of checkpoints", "ufr traversals"),
        search.Page("Compare checkpoints", "evaluation:compare", "two of them, side by side", "difference"),
    )


def _factors(user: Any, query: search.Query, limit: int) -> list[search.Found]:
    """Return factor groups, each with the UFR of the newest measured checkpoint of its experiment.

    Where none was measured, the tree of its checkpoints.
    """
    rows = seen_experiments(user).order_by("-pk").values_list("pk", "name", "slug", "model_spec")
    ranked = [
        (rank, group["name"], pk, name, slug)
        for pk, name, slug, spec in rows[:LOOKED_AT]
        for group in spec.get("factor_groups", [])
        if (rank := search.how_well(query, group["name"], name)) is not None
        and any(term in group["name"].lower() for term in query.terms or [""])
    ]
    ranked.sort(key=lambda found: found[0])
    chosen = ranked[:limit]
    if not chosen:
        return []
    measured = Evaluation.objects.filter(checkpoint__in=Checkpoint.objects.all())
    within = measured.filter(checkpoint__experiment__in={pk for _, _, pk, _, _ in chosen})
    newest = dict(within.values_list("checkpoint__experiment").annotate(Max("checkpoint")))
    return [
        search.Found(
            "factor",
            factor,
            f"factor of {name}, {'its UFR' if pk in newest else 'not measured yet'}",
            reverse("evaluation:tab", args=[newest[pk], "ufr"])
            if pk in newest
            else reverse("trees:experiment", args=[slug]),
            rank,
        )
        for rank, factor, pk, name, slug in chosen
    ]

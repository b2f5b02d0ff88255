"""Traversals of a study side by side: a row an arm, a column a seed, of what is kept; nothing is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accsite.apps.evaluation.pictures import Strip, strips_of
from accsite.apps.studies.models import Study
from accsite.apps.training.models import Experiment

MOST_ARMS = 12
MOST_SEEDS = 8
STEPS = 5


@dataclass(frozen=True)
class Cell:
    """What is kept of an arm and a seed; None: there is no such picture, or the viewer may not see it."""

    checkpoint: int | None
    strip: Strip | None


@dataclass(frozen=True)
class Traversals:
    """Rows of (arm, place, cells); groups: of which there is any picture."""

    group: str
    groups: list[str]
    seeds: list[int]
    rows: list[tuple[str, int, list[Cell]]]
    left_out: bool


def traversals_of(user: Any, study: Study, group: str = "") -> Traversals:
    """Return the newest kept traversals of a factor group (default: the first): of the first arms, and of the first
    seeds of which any arm has one."""
    plan = study.planned
    arms = [arm.name for arm in plan.arms]
    rows = study.results.filter(
        arm__in=arms[:MOST_ARMS],
        checkpoint__deleted_at=None,
        checkpoint__experiment__in=Experiment.objects.visible_to(user),
    )
    places = {(arm, seed): pk for arm, seed, pk in rows.values_list("arm", "seed", "checkpoint")}
    kept = strips_of(places.values(), STEPS)
    groups = sorted({name for strips in kept.values() for name in strips})
    chosen = group if group in groups else next(iter(groups), "")
    with_one = [
        seed
        for seed in plan.seeds
        if any(chosen in kept.get(places.get((arm, seed), 0), {}) for arm in arms[:MOST_ARMS])
    ]
    seeds = with_one[:MOST_SEEDS]
    return Traversals(
        chosen,
        groups,
        seeds,
        [
            (
                arm,
                at,
                [
                    Cell(pk, kept.get(pk or 0, {}).get(chosen))
                    for pk in (places.get((arm, seed)) for seed in seeds)
                ],
            )
            for at, arm in enumerate(arms[:MOST_ARMS])
        ],
        len(with_one) > MOST_SEEDS or len(arms) > MOST_ARMS,
    )

"""Traversals of a study side by side: a row an arm, a column a seed, of what is kept; nothing is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accsite.apps.evaluation.models import Part
from accsite.apps.evaluation.pictures import TRAVERSALS, Strip, strips_of
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.studies.models import Study, StudyResult
from accsite.apps.training.models import Checkpoint, Experiment

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
    """Rows of (arm, place, cells); groups: of which there is any picture; why: what a model said that has none."""

    group: str
    groups: list[str]
    seeds: list[int]
    rows: list[tuple[str, int, list[Cell]]]
    left_out: bool
    why: str


@dataclass(frozen=True)
class ToDraw:
    """What of the arms and seeds that are done has no traversals yet.

    missing: checkpoints, seed by seed. under_way: how many others a job draws, or waits to.
    """

    missing: list[Checkpoint]
    under_way: int
    done: int


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
        "" if groups else _why_none(list(places.values())),
    )


def to_draw(study: Study, user: Any = None) -> ToDraw:
    """Return what can be drawn of a study; ``user``: whoever may change its checkpoints (None: anybody)."""
    rows = study.results.filter(
        state=StudyResult.State.SUCCEEDED, checkpoint__isnull=False, checkpoint__deleted_at=None
    )
    if user is not None:
        rows = rows.filter(checkpoint__experiment__in=Experiment.objects.changeable_by(user))
    places = {(arm, seed): pk for arm, seed, pk in rows.values_list("arm", "seed", "checkpoint")}
    nodes = Checkpoint.objects.filter(pk__in=places.values())
    measured = Part.objects.filter(name=TRAVERSALS, evaluation__checkpoint__in=nodes)
    drawn = set(measured.values_list("evaluation__checkpoint", flat=True))
    jobs = Job.objects.active().filter(kind=JobKind.EVALUATE, checkpoint__in=nodes, preview=False)
    waited_for = {
        node for node, spec in jobs.values_list("checkpoint", "spec") if TRAVERSALS in spec.get("suite", ())
    }
    found = nodes.exclude(pk__in=drawn | waited_for).select_related("branch__experiment").in_bulk()
    # in the order of the plan, seed by seed: the first columns are whole before the last begin
    missing = [found[places[place]] for place in study.planned.order() if places.get(place) in found]
    return ToDraw(missing, len(waited_for - drawn), len(places))


def _why_none(checkpoints: list[int]) -> str:
    """Return why nothing was drawn of checkpoints, as the newest evaluation that was to draw says it; empty: none."""
    part = (
        Part.objects.filter(name=TRAVERSALS, evaluation__checkpoint__in=checkpoints)
        .order_by("-evaluation")
        .first()
    )
    return "" if part is None else part.reason or next(iter(part.reasons.values()), "")

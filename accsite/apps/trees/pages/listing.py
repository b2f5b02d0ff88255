"""What the list of experiments shows: queries only, the same few for any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, FloatField, Max, Min, Prefetch
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from acc.specs import FactorGroup, ModelSpec
from acc.training.losses import series
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Branch, Checkpoint, Experiment
from accsite.apps.trees import pictures

SKETCH_LANES = 7
WIDTH, HEIGHT, EDGE = 150.0, 48.0, 5.0
LISTED_BRANCHES = 3


@dataclass(frozen=True)
class Line:
    """A branch in the sketch of a tree: from where it left another (or the seed) to its head, in its own lane."""

    name: str
    start: float
    end: float
    y: float
    from_y: float
    live: bool

    @property
    def path(self) -> str:
        """What an SVG draws of it."""
        return f"M{self.start:.1f} {self.from_y:.1f}V{self.y:.1f}H{self.end:.1f}"


@dataclass(frozen=True)
class ExperimentRow:
    """An experiment in the list, with what was done in it last and how good its best checkpoint is.

    ``more``: how many branches are not named. ``lines``: a sketch of its tree. ``groups``: the parts of its latent.
    """

    experiment: Experiment
    checkpoints: int
    active: int
    last: datetime
    best: float | None
    picture: pictures.Picture | None
    lines: list[Line]
    branches: list[Branch]
    more: int
    groups: list[FactorGroup]


def experiment_rows(user: Any) -> list[ExperimentRow]:
    """Return the experiments that ``user`` may see, those worked on last first."""
    with_ends = Branch.objects.select_related("head", "forked_from").defer("head__spec", "forked_from__spec")
    seen = Experiment.objects.visible_to(user).select_related("owner")
    found = list(seen.prefetch_related(Prefetch("branches", with_ends)))
    active = Job.objects.active().filter(branch__experiment__in=found).counts_by("branch")
    total = Cast(KeyTextTransform(series.TOTAL, "losses"), FloatField())
    grown = Checkpoint.objects.filter(experiment__in=found).order_by().values_list("experiment")
    figures = {pk: rest for pk, *rest in grown.annotate(n=Count("pk"), at=Max("created_at"), best=Min(total))}
    drawn = pictures.newest([each.pk for each in found])
    rows = []
    for each in found:
        checkpoints, newest, best = figures.get(each.pk, (0, None, None))
        branches = list(each.branches.all())
        rows.append(
            ExperimentRow(
                each,
                checkpoints,
                sum(active.get(branch.pk, 0) for branch in branches),
                newest or each.created_at,
                best,
                drawn.get(each.pk),
                sketch(branches, {branch.pk for branch in branches if branch.pk in active}),
                branches[:LISTED_BRANCHES],
                max(0, len(branches) - LISTED_BRANCHES),
                list(ModelSpec.model_validate(each.model_spec).ordered_groups) if each.model_spec else [],
            )
        )
    return sorted(rows, key=lambda row: row.last, reverse=True)


def sketch(branches: Sequence[Branch], live: set[int]) -> list[Line]:
    """Return the first branches of an experiment as lines, the longest step at the right edge."""
    shown = [each for each in branches if each.head is not None][:SKETCH_LANES]
    furthest = max((each.head.step for each in shown if each.head is not None), default=0) or 1
    gap = (HEIGHT - 2 * EDGE) / max(1, SKETCH_LANES - 1 if len(shown) > 4 else 3)
    top = (HEIGHT - gap * (len(shown) - 1)) / 2
    lanes = {each.pk: top + gap * at for at, each in enumerate(shown)}

    def x(step: int) -> float:
        return EDGE + (WIDTH - 2 * EDGE) * step / furthest

    lines = []
    for each in shown:
        head, origin = each.head, each.forked_from
        assert head is not None
        y = lanes[each.pk]
        start = x(min(origin.step, head.step)) if origin is not None else EDGE
        from_y = lanes.get(origin.branch_id, y) if origin is not None else y
        lines.append(Line(each.name, start, x(head.step), y, from_y, each.pk in live))
    return lines

"""Which branch, or which checkpoint, does best at one number that was measured: queries only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Count, F, IntegerField, Max, Q, TextField, Value, Window
from django.db.models.functions import Cast, Concat, RowNumber

from accsite.apps.evaluation.models import Metric
from accsite.apps.evaluation.pages.bars import Bar, axis
from accsite.apps.evaluation.pages.curves import Trend, trend
from accsite.apps.evaluation.selectors.metric_plugins import MetricPlugins
from accsite.apps.training.models import Branch, Experiment

TREND = 12
LOOKED_BACK = 4 * TREND
"""Checkpoints of a branch that are looked through for those that were measured as its newest was."""
LISTED = 4000
"""Numbers ranked at most, the best; the page says where there are more."""
COLUMNS = {"value": "", "name": "Branch", "step": "Step", "when": "Measured"}
OF = {"branches": "branches", "checkpoints": "checkpoints"}


@dataclass(frozen=True)
class Choice:
    """A number that can be ranked by: of a task (or, without one, of the whole representation), on a dataset."""

    task: str
    name: str
    dataset: str
    higher_is_better: bool | None
    branches: int

    @property
    def key(self) -> str:
        """How an address names it."""
        return f"{self.task}/{self.name}/{self.dataset}"

    @property
    def words(self) -> str:
        """How people read it: ``accuracy of digit``, ``UFR``."""
        name = "UFR" if self.name == "ufr" else self.name.replace("_", " ")
        return f"{name} of {self.task}" if self.task else name


@dataclass(frozen=True)
class Leader:
    """A branch with its newest number, or a checkpoint with its own; ``metric`` None: not measured so."""

    branch: Branch
    metric: Metric | None = None
    bar: Bar | None = None
    trend: Trend | None = None
    other_images: bool = False
    last: datetime | None = None

    @property
    def name(self) -> str:
        return f"{self.branch.experiment.name} / {self.branch.name}"

    @property
    def trivial(self) -> float | None:
        """What the trivial answer scores, or unrelated labels."""
        return trivial(self.metric) if self.metric else None

    @property
    def trivial_words(self) -> str:
        """Who scores that."""
        return trivial_words(self.metric) if self.metric else ""

    @property
    def step(self) -> int:
        return self.metric.evaluation.step if self.metric else -1


@dataclass(frozen=True)
class Listed:
    """What is listed, and of how many."""

    rows: list[Leader]
    total: int

    @property
    def more(self) -> int:
        return self.total - len(self.rows)


def choices(user: Any) -> list[Choice]:
    """Return every number that was measured of what ``user`` may see; what most branches share comes first."""
    found = (
        _visible(user)
        .values("task_key", "name", "dataset")
        .annotate(
            branches=Count("evaluation__branch", distinct=True),
            last=Max("evaluation_id"),
            higher=Max(Cast("higher_is_better", IntegerField())),  # PostgreSQL has no greatest of truths
        )
        .order_by("-branches", "-last", "task_key", "name")
    )
    return [
        Choice(
            row["task_key"],
            row["name"],
            row["dataset"],
            None if row["higher"] is None else bool(row["higher"]),
            row["branches"],
        )
        for row in found
    ]


def chosen(offered: Sequence[Choice], key: str) -> Choice | None:
    """Return the number that an address names, else UFR where as many branches have it as any, else the first."""
    named = next((each for each in offered if each.key == key), None)
    if named or not offered:
        return named
    shared = [each for each in offered if each.branches == offered[0].branches]
    return next((each for each in shared if each.name == "ufr"), offered[0])


def leaders(user: Any, choice: Choice, *, of: str, query: str = "") -> Listed:
    """Return the branches with their newest number, or all checkpoints with theirs; names filtered by ``query``."""
    rows = _newest(user, choice)
    if of == "branches":
        rows = Metric.objects.filter(pk__in=_placed(rows).filter(place=1).values("pk"))
    where = "evaluation__branch__"
    rows = _called(rows, query, f"{where}experiment__name", f"{where}name", "evaluation__checkpoint__tag")
    total = rows.count()
    best = "value" if choice.higher_is_better is False else "-value"
    rows = rows.defer("without", "evaluation__checkpoint__spec").order_by(best, "evaluation_id")
    listed = list(rows.select_related("evaluation__checkpoint", f"{where}experiment")[:LISTED])
    kinds = Counter(row.kind_of_sample for row in listed)
    usual = kinds.most_common(1)[0][0] if kinds else ""
    numbers = (number for row in listed for number in (row.value, row.low, row.high, trivial(row)))
    scale = axis(numbers, unit=MetricPlugins().from_0_to_1(choice.name))
    found = [
        Leader(
            row.evaluation.branch,
            row,
            scale.bar(row.value, row.low, row.high, trivial=trivial(row)),
            other_images=row.kind_of_sample != usual,
            last=row.evaluation.created_at,
        )
        for row in listed
    ]
    return Listed(found, total)


def with_trends(user: Any, choice: Choice, rows: Sequence[Leader]) -> list[Leader]:
    """Return the branches with the numbers that led to theirs, as far as they were of the same images."""
    measured = _newest(user, choice).filter(evaluation__branch__in=[row.branch.pk for row in rows])
    read = _placed(measured).filter(place__lte=LOOKED_BACK).select_related("evaluation").defer("without")
    led: dict[tuple[int, str], list[Metric]] = {}
    for each in read:
        led.setdefault((each.evaluation.branch_id, each.kind_of_sample), []).append(each)
    found = []
    for row in rows:
        assert row.metric is not None
        same = led.get((row.branch.pk, row.metric.kind_of_sample), [])
        same.sort(key=lambda each: (each.evaluation.step, each.evaluation_id))
        values = [each.value for each in same[-TREND:] if each.value is not None]
        found.append(replace(row, trend=trend(values)))
    return found


def others(
    user: Any,
    choice: Choice | None,
    query: str = "",
    *,
    most: int,
    training: Collection[int] = (),
    bare: bool = True,
) -> tuple[Listed, int]:
    """Return the ``most`` newest branches of which this number was not measured; and how many were left out.

    bare: also those that have no checkpoint of their own, of which nothing can be measured, and are not ``training``.
    """
    rows = Branch.objects.filter(experiment__in=Experiment.objects.visible_to(user))
    if choice:
        rows = rows.exclude(pk__in=_measured(user, choice).order_by().values("evaluation__branch"))
    rows = _called(rows, query, "experiment__name", "name")
    total = rows.count()
    left_out = 0
    if not bare:
        rows = rows.filter(Q(head__branch=F("pk")) | Q(pk__in=training))
        left_out, total = total - rows.count(), rows.count()
    rows = rows.select_related("experiment", "head").defer("head__spec").order_by("-pk")
    rest = rows.annotate(last=Max("evaluations__created_at"))[:most]
    return Listed([Leader(row, last=row.last) for row in rest], total), left_out


def ordered(rows: Sequence[Leader], choice: Choice, sort: str, order: str) -> list[Leader]:
    """Return the rows by a column; by value the best come first, unless ``order`` says which."""
    down = order == "desc" if order in ("asc", "desc") else best_first(choice, sort) == "desc"
    keys: Mapping[str, Any] = {
        "value": lambda row: row.metric.value,
        "name": lambda row: (row.name.casefold(), row.step),
        "step": lambda row: row.step,
        "when": lambda row: row.last,
    }
    return sorted(rows, key=keys[sort], reverse=down)


def best_first(choice: Choice, sort: str) -> str:
    """Return the order that a column has by itself: the best, the newest, the farthest come first; names from A."""
    if sort == "value":
        return "asc" if choice.higher_is_better is False else "desc"
    return "asc" if sort == "name" else "desc"


def trivial(metric: Metric) -> float | None:
    """Return what the best predictor that looks at no image scores; where that is unknown, what chance gives."""
    return metric.chance if metric.baseline is None else metric.baseline


def trivial_words(metric: Metric) -> str:
    """Return whose score ``trivial`` is: that of a predictor that looks at no image, or that of chance."""
    return "chance" if metric.baseline is None else "trivial"


def _called(rows: Any, query: str, experiment: str, branch: str, *also: str) -> Any:
    """Return the rows whose whole name, as the page writes it, holds what was asked for."""
    if not query:
        return rows
    parts: list[Any] = [experiment, Value(" / "), branch, Value(" "), *also]
    return rows.annotate(told=Concat(*parts, output_field=TextField())).filter(told__icontains=query)


def _newest(user: Any, choice: Choice) -> Any:
    """Return of each checkpoint the number that was measured last."""
    rows = _measured(user, choice)
    last = rows.order_by().values("evaluation__checkpoint").annotate(last=Max("evaluation_id"))
    return rows.filter(evaluation_id__in=last.values("last"))


def _placed(rows: Any) -> Any:
    """Number the rows of each branch by ``place``, that of the farthest checkpoint 1."""
    far = [F("evaluation__step").desc(), F("evaluation_id").desc()]
    place = Window(RowNumber(), partition_by=[F("evaluation__branch")], order_by=far)
    return rows.order_by().annotate(place=place)


def _measured(user: Any, choice: Choice) -> Any:
    return _visible(user).filter(task_key=choice.task, name=choice.name, dataset=choice.dataset)


def _visible(user: Any) -> Any:
    """Return the numbers of checkpoints that are there: one that waits for an undo of its deletion is not."""
    return Metric.objects.on().filter(
        evaluation__branch__experiment__in=Experiment.objects.visible_to(user),
        evaluation__checkpoint__isnull=False,
        evaluation__checkpoint__deleted_at=None,
        concept="",
        group="",
        value__isnull=False,
    )

"""Which branch, or which checkpoint, does best at one number that was measured: queries only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max

from accsite.apps.evaluation.models import Metric
from accsite.apps.evaluation.pages.bars import Bar, axis
from accsite.apps.evaluation.pages.curves import Trend, trend
from accsite.apps.training.models import Branch, Experiment

TREND = 12
LISTED = 4000
"""Numbers read at most, the newest; a site with more of one metric filters by dataset first."""
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
    def step(self) -> int:
        return self.metric.evaluation.step if self.metric else -1


def choices(user: Any) -> list[Choice]:
    """Return every number that was measured of what ``user`` may see; what most branches share comes first."""
    found = (
        _visible(user)
        .values("task_key", "name", "dataset")
        .annotate(
            branches=Count("evaluation__branch", distinct=True),
            last=Max("evaluation_id"),
            higher=Max("higher_is_better"),
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


def leaders(user: Any, choice: Choice, *, of: str, query: str = "") -> list[Leader]:
    """Return the branches with their newest number, or all checkpoints with theirs; names filtered by ``query``."""
    rows = _visible(user).filter(task_key=choice.task, name=choice.name, dataset=choice.dataset)
    rows = rows.defer("without", "evaluation__checkpoint__spec")
    rows = rows.select_related("evaluation__checkpoint", "evaluation__branch__experiment")
    newest = sorted(rows.order_by("-evaluation_id")[:LISTED], key=lambda row: row.evaluation_id)
    by_branch: dict[int, dict[int, Metric]] = {}
    for row in newest:
        assert row.evaluation.checkpoint_id is not None
        by_branch.setdefault(row.evaluation.branch_id, {})[row.evaluation.checkpoint_id] = row
    kinds = Counter(row.kind_of_sample for each in by_branch.values() for row in each.values())
    usual = kinds.most_common(1)[0][0] if kinds else ""
    scale = axis(
        number
        for each in by_branch.values()
        for row in each.values()
        for number in (row.value, row.low, row.high, trivial(row))
    )
    found = []
    for measured in by_branch.values():
        ordered = sorted(measured.values(), key=lambda row: (row.evaluation.step, row.evaluation_id))
        for row in ordered if of == "checkpoints" else ordered[-1:]:
            same = [
                each.value
                for each in ordered
                if each.value is not None and each.kind_of_sample == row.kind_of_sample
            ]
            found.append(
                Leader(
                    row.evaluation.branch,
                    row,
                    scale.bar(row.value, row.low, row.high, trivial=trivial(row)),
                    trend(same[-TREND:]) if of == "branches" else None,
                    row.kind_of_sample != usual,
                    row.evaluation.created_at,
                )
            )
    return [each for each in found if _matches(each, query)]


def others(user: Any, measured: Sequence[Leader], query: str = "") -> list[Leader]:
    """Return the branches of which this number was not measured, the newest first."""
    known = {each.branch.pk for each in measured}
    visible = Branch.objects.filter(experiment__in=Experiment.objects.visible_to(user))
    rows = visible.select_related("experiment", "head").defer("head__spec").order_by("-pk")
    rest = rows.annotate(last=Max("evaluations__created_at"))
    found = [Leader(row, last=row.last) for row in rest if row.pk not in known]
    return [each for each in found if _matches(each, query)]


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


def _matches(row: Leader, query: str) -> bool:
    checkpoint = row.metric.evaluation.checkpoint if row.metric else None
    told = f"{row.name} {checkpoint.tag if checkpoint else ''}"
    return query.casefold() in told.casefold()


def _visible(user: Any) -> Any:
    """Return the numbers of checkpoints that are there: one that waits for an undo of its deletion is not."""
    return Metric.objects.filter(
        evaluation__branch__experiment__in=Experiment.objects.visible_to(user),
        evaluation__checkpoint__isnull=False,
        evaluation__checkpoint__deleted_at=None,
        concept="",
        group="",
        value__isnull=False,
    )

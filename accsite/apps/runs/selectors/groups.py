"""Runs in groups: of each group and column the mean, the 95 % interval of the mean, and of how many runs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acc.differences import student
from acc.errors import InvalidInput
from accsite.apps.jobs.states import JobState
from accsite.apps.runs.filters import NONE
from accsite.apps.runs.models import Value
from accsite.apps.runs.selectors.columns import Col, resolve
from accsite.numbers import exact

N, LABEL = "n", "group"


@dataclass(frozen=True)
class Mean:
    """The mean of n runs; ``half``: of its 95 % interval by Student's t, None of a single run."""

    value: float
    n: int
    half: float | None


@dataclass(frozen=True)
class Group:
    """Runs that have the same in one column; ``key``: how a filter asks for it, ``runs``: their ids, newest first."""

    key: str
    label: str
    runs: tuple[int, ...]
    means: Mapping[str, Mean]


@dataclass(frozen=True)
class Groups:
    """All groups, in the order that was asked for, and by what they are made."""

    by: Col
    groups: list[Group]


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of one or more values; the interval is mean ± t(n - 1, 97.5 %) s / sqrt(n)."""
    n = len(values)
    array = np.asarray(values, dtype=np.float64)
    if (array == array[0]).all():  # said as it is: their computed mean may be a bit off
        return Mean(float(array[0]), n, 0.0 if n > 1 else None)
    return Mean(float(array.mean()), n, float(student(n - 1) * array.std(ddof=1) / math.sqrt(n)))


def groups(runs: Any, known: dict[str, Col], cols: Sequence[Col], by: str, sort: str = "") -> Groups:
    """Return these runs by what they have in the column ``by``, with the means of the columns that are numbers.

    sort: ``n``, ``group`` or a column, ``-`` before it from its end; by default the most runs first. Raises
    InvalidInput (group, sort).
    """
    column = resolve(known, by, "group")
    if column.kind == "time":
        raise InvalidInput(
            {"group": f"{column.name} is a time, and nearly every run has its own; group by another"}
        )
    members = _members(runs, column)
    group_of = {run: key for key, ids in members.items() for run in ids}
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for name, run, number in _numbers(runs, cols):
        values[group_of[run]][name].append(number)
    found = [
        Group(
            key, _label(column, key), tuple(ids), {name: mean_of(all_) for name, all_ in values[key].items()}
        )
        for key, ids in members.items()
    ]
    return Groups(column, _ordered(found, known, cols, sort))


def _members(runs: Any, by: Col) -> dict[str, list[int]]:
    members: dict[str, list[int]] = defaultdict(list)
    newest = runs.order_by("-pk")
    if by.name == "branch":
        for run, experiment, branch in newest.values_list("pk", "experiment__slug", "branch__slug"):
            members[f"{experiment}/{branch}"].append(run)
    elif by.field:
        for run, value in newest.values_list("pk", by.field):
            members[_key(value)].append(run)
    else:
        kept = Value.objects.filter(column=by.pk, run__in=runs.order_by().values("pk")).order_by()
        having = {run: (number, text) for run, number, text in kept.values_list("run_id", "number", "text")}
        for run in newest.values_list("pk", flat=True):
            number, text = having.get(run, (None, ""))
            members[_key(text or None if number is None else number)].append(run)
    return members


def _key(value: Any) -> str:
    if value is None:
        return NONE
    return exact(value) if isinstance(value, float) else str(value)


def _label(by: Col, key: str) -> str:
    if key == NONE:
        return f"no {by.words}"
    return str(JobState(key).label) if by.kind == "state" else key


def _numbers(runs: Any, cols: Sequence[Col]) -> Any:
    """Yield (column, run, number) of all columns that are numbers."""
    by_pk = {col.pk: col.name for col in cols if not col.field and col.kind == "number"}
    kept = Value.objects.filter(
        column__in=list(by_pk), number__isnull=False, run__in=runs.order_by().values("pk")
    )
    for column, run, number in kept.order_by().values_list("column_id", "run_id", "number"):
        yield by_pk[column], run, number
    fixed = [col for col in cols if col.field and col.kind == "number" and col.name != "run"]
    if fixed:
        for run, *numbers in runs.order_by().values_list("pk", *(col.field for col in fixed)):
            for col, number in zip(fixed, numbers, strict=True):
                if number is not None:
                    yield col.name, run, float(number)


def _ordered(found: list[Group], known: dict[str, Col], cols: Sequence[Col], sort: str) -> list[Group]:
    name, down = sort.removeprefix("-"), sort.startswith("-")
    found.sort(key=lambda group: _natural(group.key))
    if name in ("", N):
        return sorted(found, key=lambda group: len(group.runs), reverse=down or not name)
    if name == LABEL:
        return found[::-1] if down else found
    col = resolve(known, name, "sort")
    if col not in cols or col.kind != "number":
        right = ", ".join([N, LABEL, *(each.name for each in cols if each.kind == "number")])
        raise InvalidInput({"sort": f"groups cannot be sorted by {col.name!r}; choose one of: {right}"})
    having = [group for group in found if col.name in group.means]
    having.sort(key=lambda group: group.means[col.name].value, reverse=down)
    return [*having, *(group for group in found if col.name not in group.means)]


def _natural(key: str) -> tuple[int, float, str]:
    try:
        return 0, float(key), key
    except ValueError:
        return 1, 0.0, key.lower()

"""The rows of the table: which runs a filter means, in what order, and what each has in its columns."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import F, FilteredRelation, Q
from django.utils.dateparse import parse_date, parse_datetime

from acc.errors import InvalidInput
from accsite.apps.jobs.states import JobState
from accsite.apps.runs import filters
from accsite.apps.runs.filters import NONE, Both, Comparison, Either, Filter, Not
from accsite.apps.runs.models import Run, Value
from accsite.apps.runs.selectors.columns import Col, resolve

NO_NUMBERS = ("nan", "inf", "-inf")
"""What a loss that went wrong is kept as, see ``facts.as_row``."""
LOOKUPS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


@dataclass(frozen=True)
class Row:
    """A run and what it has in the columns that were asked for: a number, a text or a time; None for nothing."""

    run: Run
    values: Mapping[str, Any]


def matching(runs: Any, known: dict[str, Col], text: str) -> Any:
    """Return the runs of which a filter holds; raises InvalidInput (filter)."""
    asked = filters.parse(text)
    return runs if asked is None else runs.filter(_condition(asked, known))


def _condition(asked: Filter, known: dict[str, Col]) -> Q:
    if isinstance(asked, Comparison):
        return _compared(resolve(known, asked.name, "filter"), asked)
    if isinstance(asked, Not):
        return ~_condition(asked.part, known)
    found = Q()
    for part in asked.parts:
        found = (
            found | _condition(part, known) if isinstance(asked, Either) else found & _condition(part, known)
        )
    assert isinstance(asked, Both | Either)
    return found


def _compared(col: Col, asked: Comparison) -> Q:
    if asked.value.lower() == NONE and asked.operator in {"=", "!="}:
        has = Q(**{f"{col.field}__isnull": False}) if col.field else _having(col, Q())
        return ~has if asked.operator == "=" else has
    made = {"number": _number, "text": _text, "state": _state, "time": _time}[col.kind](col, asked)
    return made if col.field else _having(col, made)


def _having(col: Col, condition: Q) -> Q:
    return Q(pk__in=Value.objects.filter(condition, column=col.pk).order_by().values("run"))


def _number(col: Col, asked: Comparison) -> Q:
    field = col.field or "number"
    if not col.field and asked.operator == "=" and asked.value.lower() in NO_NUMBERS:
        return Q(text=asked.value.lower())
    if asked.operator == "~":
        raise _refused(f"{col.name} is a number; ~ compares texts, use one of = != < <= > >=")
    try:
        value = float(asked.value.replace("_", "x"))
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or abs(value) >= 2**63:
        raise _refused(f"{col.name} is a number, and {asked.value[:40]!r} is none, such as .5 or 1e-3")
    if asked.operator == "=":
        return Q(**{field: value})
    if asked.operator == "!=":
        return Q(**{f"{field}__isnull": False}) & ~Q(**{field: value})
    return Q(**{f"{field}__{LOOKUPS[asked.operator]}": value})


def _text(col: Col, asked: Comparison) -> Q:
    if asked.operator in LOOKUPS:
        raise _refused(f"{col.name} is a text; compare it by = != ~, not by {asked.operator}")
    lookup = "icontains" if asked.operator == "~" else "iexact"
    value = asked.value.replace("\x00", "")
    field = col.field or "text"
    made = _named(col.name, lookup, value) if col.name in _PARTS else Q(**{f"{field}__{lookup}": value})
    if asked.operator != "!=":
        return made
    return ~made & (Q(**{f"{col.field}__isnull": False}) if col.field else Q())


_PARTS = {
    "experiment": ("experiment__slug", "experiment__name"),
    "branch": ("branch__slug", "branch__name"),
}


def _named(name: str, lookup: str, value: str) -> Q:
    """Return the runs of an experiment by slug or name; of a branch also by ``experiment/branch``."""
    slug, called = _PARTS[name]
    made = Q(**{f"{slug}__{lookup}": value}) | Q(**{f"{called}__{lookup}": value})
    experiment, slash, branch = value.partition("/")
    if name == "branch" and slash:
        made |= Q(experiment__slug__iexact=experiment) & Q(**{f"{slug}__{lookup}": branch})
    return made


def _state(col: Col, asked: Comparison) -> Q:
    word = asked.value.lower()
    states = [state.value for state in JobState if word in {state.value.lower(), str(state.label).lower()}]
    if asked.operator not in {"=", "!="}:
        raise _refused(f"{col.name} is compared by = and !=, not by {asked.operator}")
    if not states:
        right = ", ".join(str(state.label) for state in JobState)
        raise _refused(f"{asked.value[:40]!r} is not a state of a run; it is one of: {right}")
    made = Q(state__in=states)
    return made if asked.operator == "=" else ~made


def _time(col: Col, asked: Comparison) -> Q:
    """Return the runs by a day, or by a moment; times without a zone are UTC."""
    try:
        day = parse_date(asked.value)
        moment = None if day else parse_datetime(asked.value)
    except ValueError:
        day = moment = None
    if asked.operator == "~" or (day is None and moment is None):
        right = "write a day such as 2026-11-30, or 2026-11-30T18:00"
        raise _refused(
            f"{col.name} is a time, and {asked.value[:40]!r} is none; {right}, behind = != < <= > >="
        )
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC) if day else moment
    assert begin is not None
    begin = begin if begin.tzinfo else begin.replace(tzinfo=UTC)
    try:
        end = begin + (timedelta(days=1) if day else timedelta(microseconds=1))
        begin, end = begin.astimezone(UTC), end.astimezone(UTC)
    except OverflowError:
        raise _refused(f"{asked.value[:40]!r} is beyond all times") from None
    within = Q(**{f"{col.field}__gte": begin, f"{col.field}__lt": end})
    return {
        "=": within,
        "!=": ~within & Q(**{f"{col.field}__isnull": False}),
        "<": Q(**{f"{col.field}__lt": begin}),
        "<=": Q(**{f"{col.field}__lt": end}),
        ">": Q(**{f"{col.field}__gte": end}),
        ">=": Q(**{f"{col.field}__gte": begin}),
    }[asked.operator]


def _refused(why: str) -> InvalidInput:
    return InvalidInput({"filter": why})


def sorted_by(runs: Any, known: dict[str, Col], sort: str) -> Any:
    """Return the runs by a column (``-`` before its name: from its end), those without a value last, newest first.

    Raises InvalidInput (sort).
    """
    if not sort:
        return runs.order_by("-pk")
    col = resolve(known, sort.removeprefix("-"), "sort")
    down = sort.startswith("-")
    key = col.field
    if not key:
        runs = runs.annotate(kept=FilteredRelation("values", condition=Q(values__column=col.pk)))
        key = "kept__number" if col.kind == "number" else "kept__text"
    order = F(key).desc(nulls_last=True) if down else F(key).asc(nulls_last=True)
    return runs.order_by(order, "-pk")


def part_of(ordered: Any, first: int, last: int) -> list[Run]:
    """Return the runs from one place to before another, with all that a page says of them."""
    ids = list(ordered.values_list("pk", flat=True)[first:last])
    found = (
        Run.objects.select_related("experiment", "branch", "created_by", "job").defer(*_UNREAD).in_bulk(ids)
    )
    return [found[pk] for pk in ids if pk in found]


_UNREAD = ("experiment__model_spec", "experiment__method", "job__spec", "job__traceback")


def rows_of(runs: Sequence[Run], cols: Sequence[Col]) -> list[Row]:
    """Return these runs with their values, by one query for them all."""
    by_pk = {col.pk: col.name for col in cols if not col.field}
    values: dict[int, dict[str, Any]] = defaultdict(dict)
    kept = Value.objects.filter(run__in=[run.pk for run in runs], column__in=list(by_pk)).order_by()
    for run, column, number, text in kept.values_list("run_id", "column_id", "number", "text"):
        values[run][by_pk[column]] = text if number is None else number
    fixed = [col for col in cols if col.field]
    return [
        Row(run, {**{col.name: fixed_value(run, col) for col in fixed}, **values.get(run.pk, {})})
        for run in runs
    ]


def fixed_value(run: Run, col: Col) -> Any:
    """Return what a run has in a column that all have."""
    found: Any = run
    for part in col.field.split("__"):
        found = getattr(found, part, None) if found is not None else None
    return found

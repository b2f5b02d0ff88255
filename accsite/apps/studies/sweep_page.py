"""What the page of a sweep shows: an order of trials, and where they lie in the space. A study alone says more."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acc.studies import Outcome
from acc.studies import space as spaces
from acc.studies.plan import plain
from acc.studies.space import Parameter, Value
from acc.studies.sweep import FEWEST_FOR_IMPORTANCE, Standing, Sweep, ranking
from accsite.apps.studies.models import Study, StudyResult
from accsite.apps.studies.pages import ticks
from accsite.apps.studies.selectors import Cost, confirmations_of, cost_of, has_more, state_of, trials_of

MOST_ROWS = 200
"""Of the ranking and of what is drawn; the files have all."""
PAD = 0.05
TOP, BOTTOM = 30.0, 250.0
"""Of the axes of the parallel coordinates, in pixels."""
HEIGHT = 280.0
"""Of the scatter, in pixels."""
UNDER_WAY = ("waiting", "running")
RANK, OUTCOME, DRAWN = "rank", "outcome", "number"


@dataclass(frozen=True)
class Row:
    """A trial in its place. mean, low, width: of its interval, in percent; kind: first, best, or another."""

    rank: int | None
    stand: Standing
    kind: str
    values: list[str]
    figures: str
    mean: float | None
    low: float | None
    width: float


@dataclass(frozen=True)
class Segment:
    """A piece of the line of a trial between two axes; x in percent, y in pixels."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Path:
    """A trial as a line through all axes."""

    kind: str
    words: str
    segments: list[Segment]


@dataclass(frozen=True)
class Axis:
    """An axis of the parallel coordinates: x in percent, and what stands at its ends."""

    name: str
    x: float
    low: str
    high: str


@dataclass(frozen=True)
class Dot:
    """A trial in the scatter; x in percent, y in pixels."""

    kind: str
    x: float
    y: float
    words: str


@dataclass(frozen=True)
class Scatter:
    """Two columns against each other. columns: (value, words) that can be chosen."""

    x: str
    y: str
    x_words: str
    y_words: str
    dots: list[Dot]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    columns: list[tuple[str, str]]


@dataclass(frozen=True)
class Shown:
    """What the page of a sweep shows."""

    sweep: Sweep
    outcome: str
    unit: str
    better: str
    state: str
    parameters: list[str]
    rows: list[Row]
    left_out: int
    done: int
    pruned: int
    failed: list[Standing]
    under_way: int
    axes: list[Axis]
    paths: list[Path]
    scatter: Scatter
    importance: list[tuple[str, float, str]]
    importance_of: int
    importance_missing: str
    cost: Cost
    has_more: bool
    outcomes: Sequence[Outcome]
    places: list[StudyResult]
    places_left_out: int
    confirmations: list[Study]
    can_confirm: bool
    has_best: bool


def shown(user: Any, study: Study, x: str = "", y: str = "") -> Shown:
    """Return what ``user`` is shown of a sweep; x, y: columns of the scatter, an unknown one is the usual one."""
    sweep, plan, stands = study.swept, study.planned, trials_of(study)
    ranked = ranking(sweep, stands)
    best = next((stand.number for stand in ranked if stand.state == "done" and stand.number), 0)
    rows = _rows(sweep, ranked, best)
    drawn = [row for row in rows if row.stand.value is not None and row.stand.in_space]
    places = list(study.results.select_related("branch__experiment")[:MOST_ROWS])
    return Shown(
        sweep=sweep,
        outcome=plan.primary.name,
        unit=plan.primary.unit,
        better="highest" if sweep.maximize else "lowest",
        state=state_of(study),
        parameters=[parameter.name for parameter in sweep.space],
        rows=rows[:MOST_ROWS],
        left_out=max(0, len(rows) - MOST_ROWS),
        done=sum(stand.state == "done" for stand in stands if stand.number),
        pruned=sum(stand.state == "pruned" for stand in stands),
        failed=[stand for stand in stands if stand.state == "failed"],
        under_way=sum(stand.state in UNDER_WAY for stand in stands if stand.number)
        if study.is_at_work
        else 0,
        axes=_axes(sweep, plan.primary.name, drawn),
        paths=_paths(sweep, drawn[:MOST_ROWS]),
        scatter=_scatter(sweep, plan.primary.name, drawn[:MOST_ROWS], x, y),
        importance=_importance(study),
        importance_of=(study.importance or {}).get("trials", 0),
        importance_missing=_why_no_importance(stands),
        cost=cost_of(study),
        has_more=has_more(study),
        outcomes=plan.outcomes,
        places=places,
        places_left_out=study.results.count() - len(places),
        confirmations=list(confirmations_of(user, study)),
        can_confirm=ranked[0].number == best > 0 and not study.is_at_work,
        has_best=best > 0,
    )


def _rows(sweep: Sweep, ranked: Sequence[Standing], best: int) -> list[Row]:
    ends = [
        end
        for stand in ranked
        for end in (stand.value, stand.low, stand.high)
        if end is not None and stand.state in ("done", "pruned")
    ]
    at = _scale(ends)
    rows = []
    for place, stand in enumerate(ranked, 1):
        counts = stand.state in ("done", "pruned") and stand.value is not None
        values = stand.values
        rows.append(
            Row(
                place if counts else None,
                stand,
                _kind(stand, best),
                [
                    spaces.shown(values[each.name]) if each.name in values else "\N{EN DASH}"
                    for each in sweep.space
                ],
                _figures(stand),
                at(stand.value) if counts and stand.value is not None else None,
                at(stand.low) if counts and stand.low is not None else None,
                at(stand.high) - at(stand.low) if stand.low is not None and stand.high is not None else 0.0,
            )
        )
    return rows


def _kind(stand: Standing, best: int) -> str:
    if stand.number == 0:
        return "first"
    return "best" if stand.number == best else stand.state


def _figures(stand: Standing) -> str:
    if stand.value is None:
        return "nothing yet" if stand.state in UNDER_WAY else "no value"
    span = "" if stand.low is None else f" ({stand.low:.3g} to {stand.high:.3g})"
    return f"{stand.value:.4g}{span}"


def _scale(values: Sequence[float], size: float = 100.0) -> Callable[[float], float]:
    """Return what places a number between the least and the greatest, from 0 to ``size``, with room beside them."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    pad = (high - low or abs(high) or 1.0) * PAD
    low, high = low - pad, high + pad
    return lambda value: size * (value - low) / (high - low)


def _columns(sweep: Sweep, outcome: str) -> list[tuple[str, str]]:
    return [(each.name, each.name) for each in sweep.space] + [
        (OUTCOME, f"{outcome}, mean over seeds"),
        (DRAWN, "number, as drawn"),
    ]


def _axes(sweep: Sweep, outcome: str, rows: Sequence[Row]) -> list[Axis]:
    """Return an axis for each parameter, and the last for the outcome."""
    found = []
    for n, parameter in enumerate(sweep.space):
        low, high = parameter.ends()[0], parameter.ends()[-1]
        found.append(Axis(parameter.name, _x(n, sweep), spaces.shown(low), spaces.shown(high)))
    means = [row.stand.value for row in rows if row.stand.value is not None]
    ends = (f"{min(means):.4g}", f"{max(means):.4g}") if means else ("", "")
    return [*found, Axis(outcome, _x(len(sweep.space), sweep), *ends)]


def _x(place: int, sweep: Sweep) -> float:
    return 8 + 84 * place / len(sweep.space)


def _paths(sweep: Sweep, rows: Sequence[Row]) -> list[Path]:
    """Return the line of each trial, the best last, so that it lies above the others."""
    means = [row.stand.value for row in rows if row.stand.value is not None]
    low, high = min(means, default=0.0), max(means, default=1.0)
    found = []
    for row in reversed(rows):
        values, mean = row.stand.values, row.stand.value or 0.0
        parts = [parameter.part(values[parameter.name]) for parameter in sweep.space]
        parts.append((mean - low) / (high - low) if high > low else 0.5)
        points = [(_x(n, sweep), BOTTOM - part * (BOTTOM - TOP)) for n, part in enumerate(parts)]
        segments = [Segment(*one, *other) for one, other in itertools.pairwise(points)]
        found.append(Path(row.kind, _words(row), segments))
    return sorted(found, key=lambda path: path.kind in ("first", "best"))


def _words(row: Row) -> str:
    values = ", ".join(f"{name} {spaces.shown(value)}" for name, value in row.stand.values.items())
    return f"{row.stand.arm}: {row.figures}, {row.stand.n} seeds; {values}"


def _scatter(sweep: Sweep, outcome: str, rows: Sequence[Row], x: str, y: str) -> Scatter:
    columns = _columns(sweep, outcome)
    known = dict(columns)
    x = x if x in known else sweep.space[0].name
    y = y if y in known else OUTCOME
    means = [row.stand.value for row in rows if row.stand.value is not None]
    numbers = [float(row.stand.number) for row in rows]
    across, x_ticks = _places(sweep, x, means, numbers)
    upward, y_ticks = _places(sweep, y, means, numbers)
    dots = [
        Dot(row.kind, 100 * across(row.stand), HEIGHT * (1 - upward(row.stand)), _words(row))
        for row in reversed(rows)
    ]
    return Scatter(
        x,
        y,
        known[x],
        known[y],
        sorted(dots, key=lambda dot: dot.kind in ("first", "best")),
        [(100 * part, text) for part, text in x_ticks],
        [(HEIGHT * (1 - part), text) for part, text in y_ticks],
        columns,
    )


def _places(
    sweep: Sweep, column: str, means: Sequence[float], numbers: Sequence[float]
) -> tuple[Callable[[Standing], float], list[tuple[float, str]]]:
    """Return what places a trial on a column, 0 to 1, and the ticks of it."""
    parameter = next((each for each in sweep.space if each.name == column), None)
    if parameter is not None:
        inner = _inner(parameter)
        return (lambda stand: inner(stand.values[column])), _ticks_of(parameter, inner)
    seen = means if column == OUTCOME else numbers
    at = _scale(seen, 1.0)
    low, high = min(seen, default=0.0), max(seen, default=1.0)
    ticks = [(at(float(text)), text) for text in _round_numbers(low, high)] if seen else []
    if column == OUTCOME:
        return (lambda stand: at(stand.value or 0.0)), ticks
    return (lambda stand: at(float(stand.number))), ticks


def _inner(parameter: Parameter) -> Callable[[Value], float]:
    return lambda value: PAD + (1 - 2 * PAD) * parameter.part(value)


def _ticks_of(parameter: Parameter, at: Callable[[Value], float]) -> list[tuple[float, str]]:
    if parameter.kind == "choice":
        return [(at(value), spaces.shown(value)) for value in parameter.values]
    parts = (0.0, 0.5, 1.0)
    return [(at(value), spaces.shown(value)) for value in dict.fromkeys(parameter.at(part) for part in parts)]


def _round_numbers(low: float, high: float) -> list[str]:
    if high <= low:
        return [f"{low:.4g}"]
    return [text for _, text in ticks(low, high)]


def _importance(study: Study) -> list[tuple[str, float, str]]:
    """Return (parameter, percent, words) of what explains the spread, the largest first."""
    shares: Mapping[str, float] = (study.importance or {}).get("shares", {})
    return [
        (name, 100 * share, f"{100 * share:.0f} %")
        for name, share in sorted(shares.items(), key=lambda item: -item[1])
    ]


def _why_no_importance(stands: Sequence[Standing]) -> str:
    done = sum(stand.state == "done" and stand.in_space for stand in stands)
    if done < FEWEST_FOR_IMPORTANCE:
        return f"It takes {FEWEST_FOR_IMPORTANCE} trials with all their seeds to say what mattered; {done} are there."
    return "It is reckoned once a trial ends, where Optuna is installed (pip install 'acc[sweeps]')."


def budget(sweep: Sweep) -> str:
    """Return in words how far a sweep goes."""
    parts = [f"{sweep.limit} trials"]
    parts += [f"{sweep.jobs} jobs"] if sweep.jobs is not None else []
    parts += [f"{plain(sweep.hours)} hours of computing"] if sweep.hours is not None else []
    return ", or ".join(parts)

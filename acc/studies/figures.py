"""Figures of a study for a paper, as SVG or PDF: dots with intervals, paired differences, curves. Torch-free.

Drawn by matplotlib, of the extra ``figures``. An arm is told by a shape and by dashes as well as by its colour, so that
it can be told in print without colours.
"""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from acc.errors import InvalidInput
from acc.studies.plan import Study
from acc.studies.report import HUES, values_of
from acc.studies.results import Result
from acc.studies.statistics import Interval, mean_interval
from acc.studies.verdict import Verdict, judge

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMS = {"svg": "SVG", "pdf": "PDF"}
PARTS = ("outcomes", "differences", "curves")
Part = Literal["all", "outcomes", "differences", "curves"]
SHAPES = "osD^vPX*<>ph"
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (5, 1.5, 1.2, 1.5)),
    (0, (8, 2)),
    (0, (3, 3)),
)
WIDTH_INCHES = 5.5
"""The width of the text of most papers, so that a figure is printed in its own size and its letters in theirs."""
FONT_POINTS = 8
ROW_INCHES, CURVE_INCHES, PAD_INCHES = 0.32, 2.2, 0.75
MOST_INCHES = 100.0
"""Of the height of a figure, which takes some ten seconds: about 300 arms."""
NAME_CHARACTERS = 26
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that a figure is the same wherever it is made
    "font.size": FONT_POINTS,
    "axes.titlesize": FONT_POINTS,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,  # letters that can be searched, which journals ask for
    "svg.fonttype": "none",
    "svg.hashsalt": "acc",  # the same numbers are the same bytes
}
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Curve:
    """The mean of an arm over its seeds at each step, with its band; NaN where none has a value, or one alone."""

    arm: str
    n: int
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class OverSteps:
    """The curves of one series, such as ``total``."""

    name: str
    steps: NDArray[np.float64]
    curves: Sequence[Curve]


def form_of(path: str) -> str:
    """Return ``svg`` or ``pdf``, as a file is called; raises InvalidInput (path)."""
    ending = path.rpartition(".")[2].lower()
    if "." not in path or ending not in FORMS:
        raise InvalidInput(path=f"{path!r} ends in none of: {', '.join(f'.{form}' for form in FORMS)}")
    return ending


def draw(
    study: Study,
    results: Sequence[Result],
    form: str,
    part: str = "all",
    curves: Sequence[OverSteps] = (),
) -> bytes:
    """Return a figure as a file.

    form: ``svg`` or ``pdf``. part: ``outcomes`` (a dot a seed, mean and t interval of each arm), ``differences`` (of
    each claim, with 0 and the margin), ``curves``, or ``all``. Raises InvalidInput naming what is wrong, also where
    matplotlib is not installed, and where there is nothing to be drawn yet.
    """
    if form not in FORMS:
        raise InvalidInput(form=f"{form!r} is refused; choose one of: {', '.join(FORMS)}")
    if part not in ("all", *PARTS):
        raise InvalidInput(part=f"{part!r} is refused; choose one of: all, {', '.join(PARTS)}")
    try:
        import matplotlib as mpl
    except ImportError:
        raise InvalidInput(form="figures need matplotlib: pip install 'acc[figures]'") from None
    panels = _panels(study, results, part, curves)
    if not panels:
        raise InvalidInput(part=f"there is nothing to draw yet of {part!r}; wait until a seed is done")
    height = sum(each for each, _ in panels)
    if height > MOST_INCHES:
        raise InvalidInput(
            part=f"{part!r} would be {height:.0f} inches high, and {MOST_INCHES:.0f} are the most; draw another part, "
            "or take the numbers as CSV"
        )
    with _one_at_a_time, mpl.rc_context(STYLE):
        return _drawn(panels, form, study.name)


Panel = tuple[float, Callable[["Axes"], None]]
"""Its height in inches, and what draws it."""


def _panels(study: Study, results: Sequence[Result], part: str, curves: Sequence[OverSteps]) -> list[Panel]:
    found: list[Panel] = []
    if part in ("all", "outcomes"):
        for outcome in study.outcomes:
            values = {arm.name: values_of(study, results, arm.name, outcome) for arm in study.arms}
            if any(values.values()):
                title = f"{outcome.name}{f' ({outcome.unit})' if outcome.unit else ''}"
                rows = [
                    _Row(name, at, seeds, mean_interval(list(seeds.values()), study.alpha) if seeds else None)
                    for at, (name, seeds) in enumerate(values.items())
                ]
                found.append(_strip(title, rows))
    if part in ("all", "differences"):
        found += [_differences(study, each) for each in judge(study, results) if each.differences]
    if part in ("all", "curves"):
        places = [arm.name for arm in study.arms]
        found += [
            (CURVE_INCHES + ROW_INCHES * len(each.curves) / 2, partial(_curves, series=each, places=places))
            for each in curves
            if each.curves
        ]
    return found


@dataclass(frozen=True)
class _Row:
    name: str
    place: int
    values: Mapping[int, float]
    interval: Interval | None


def _differences(study: Study, verdict: Verdict) -> Panel:
    claim = next(claim for claim in study.claims if str(claim) == verdict.claim)
    low = -math.inf if verdict.low is None else verdict.low
    high = math.inf if verdict.high is None else verdict.high
    interval = None if verdict.mean is None else Interval(verdict.mean, low, high, math.nan, verdict.n)
    place = [arm.name for arm in study.arms].index(claim.first)
    row = _Row(
        f"{claim.first} less {claim.second}",
        place,
        dict(zip(verdict.seeds, verdict.differences, strict=True)),
        interval,
    )
    margin = [claim.by if claim.sign == ">" else -claim.by] if claim.by else []
    unit = study.outcome(claim.outcome).unit
    title = f"{claim.outcome}{f' ({unit})' if unit else ''}, paired differences"
    return _strip(title, [row], marks=(0.0, *margin))


def _strip(title: str, rows: Sequence[_Row], marks: Sequence[float] = ()) -> Panel:
    def paint(axes: Axes) -> None:
        for at, row in enumerate(rows):
            hue = HUES[row.place % len(HUES)]
            mean_at = at + 0.2  # below the dots, so that neither hides the other
            if row.interval is not None and math.isfinite(row.interval.low + row.interval.high):
                ends = [row.interval.low, row.interval.high]
                axes.plot(ends, [mean_at] * 2, color=hue, linewidth=1.2, solid_capstyle="butt", zorder=2)
                axes.plot(ends, [mean_at] * 2, "|", color=hue, markersize=6, markeredgewidth=1.2, zorder=2)
            seeds = [at - 0.16 + (place % 5 - 2) * 0.06 for place in range(len(row.values))]
            shape = SHAPES[row.place % len(SHAPES)]
            axes.plot(
                list(row.values.values()),
                seeds,
                shape,
                color=hue,
                markersize=3.2,
                markerfacecolor="white",
                markeredgewidth=0.8,
                zorder=3,
            )
            if row.interval is not None:
                axes.plot([row.interval.mean], [mean_at], shape, color=hue, markersize=5, zorder=4)
        for mark in marks:
            axes.axvline(mark, color="0.45", linewidth=0.7, linestyle=(0, (3, 2)), zorder=1)
        axes.set_yticks(range(len(rows)), [_lines(row.name) for row in rows], parse_math=False)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set_title(title, loc="left", parse_math=False)

    return ROW_INCHES * len(rows) + PAD_INCHES - ROW_INCHES, paint


def _curves(axes: Axes, series: OverSteps, places: Sequence[str]) -> None:
    for curve in series.curves:
        place = places.index(curve.arm)
        hue, dash = HUES[place % len(HUES)], DASHES[place % len(DASHES)]
        known = np.isfinite(curve.mean)
        label = f"{_lines(curve.arm)} (n = {curve.n})"
        axes.plot(
            series.steps[known], curve.mean[known], color=hue, linestyle=dash, linewidth=1.2, label=label
        )
        band = np.isfinite(curve.low) & np.isfinite(curve.high)
        axes.fill_between(
            series.steps, curve.low, curve.high, where=band.tolist(), color=hue, alpha=0.15, linewidth=0
        )
    axes.set_xlabel("step")
    axes.set_title(series.name.removeprefix("raw/").removeprefix("metric/"), loc="left", parse_math=False)
    legend = axes.legend(
        loc="upper left",
        bbox_to_anchor=(-0.3, -0.24),
        ncols=2,
        frameon=False,
        borderaxespad=0,
        handlelength=3,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _drawn(panels: Sequence[Panel], form: str, title: str) -> bytes:
    from matplotlib.figure import Figure

    heights = [height for height, _ in panels]
    figure: Figure = Figure(figsize=(WIDTH_INCHES, sum(heights) + 0.1), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for (_, paint), axes in zip(panels, all_axes, strict=True):
        paint(axes)
    file = io.BytesIO()
    dated = "Date" if form == "svg" else "CreationDate"
    figure.savefig(file, format=form, metadata={dated: None, "Title": title})
    return file.getvalue()


def _lines(name: str) -> str:
    return "\n".join(wrap(name, NAME_CHARACTERS, max_lines=2, placeholder="…")) or name

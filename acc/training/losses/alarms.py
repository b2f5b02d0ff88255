"""Watches the losses of a run block by block, and says once what a user should hear of. Numpy only.

Losses are reduced to the medians of windows that do not depend on where blocks end, so the same run raises the same
alarms at the same steps: of 100 steps for what comes slowly, of 16 for a loss that explodes. ``Watch.end`` judges what
has not filled a window when the run is over.

The training waits for all this, ten times a second. A window is a few numbers: plain Python takes a tenth of the time
that numpy would take.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from acc.training.losses import health, series
from acc.training.protocols import Alarm, PointBlock

if TYPE_CHECKING:
    from acc.training.taskset import Entry

WINDOW_STEPS = 100
"""A window's median is the smoothed loss; steps in which the task did not train do not count."""
DIVERGENCE_WINDOWS = 3
"""So many windows in a row must lie far above the best one."""
SHORT_STEPS = 16
"""A loss that explodes is told by the medians of so many steps."""
EXPLOSION_WINDOWS = 3
"""So many short windows in a row must lie beyond all that is usual."""
END_STEPS = 4
"""Where a run ends, so many steps are enough; fewer may be single batches that stand out."""
NOISE_ERRORS = 3.0
"""What is far above must be so by this many standard errors of a window's median, too."""
EXPLOSION_TIMES = 8
"""Beyond all that is usual: above the best, so many times by what the loss fell, the best itself and its spread."""
FLOOR_TIMES = 1000
"""The same for a loss with a floor, which may rise a lot: so many times its usual value, or nats."""
MEDIAN_ERROR = 0.93
"""Of normal noise, the standard error of the median of n values: so many times their interquartile range / sqrt(n)."""
PLATEAU_WINDOWS = 20
"""So many windows must be flat."""
COLLAPSE_WINDOWS = 5
"""So many windows in a row must be at a floor of 0."""


class _Found(NamedTuple):
    """The kind of an alarm, what it says, and whether it tells that one is over."""

    kind: str
    message: str
    over: bool = False


@dataclass
class _Window:
    """The points of a window: first and last step, median, spread of the middle half and where it begins, how many."""

    first: int
    last: int
    median: float
    spread: float
    low: float
    count: int

    @classmethod
    def of(cls, steps: Sequence[int], values: Sequence[float]) -> _Window:
        """Return the window of these points."""
        low, median, high = quartiles(values)
        return cls(steps[0], steps[-1], median, high - low, low, len(values))


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return what ``numpy.quantile`` does for the quarter, the half and three quarters, to the bit. None may be NaN."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return _at(ordered, 0.25 * last), _at(ordered, 0.5 * last), _at(ordered, 0.75 * last)


def _at(ordered: Sequence[float], place: float) -> float:
    """Return the value at a place between two of them."""
    before = int(place)
    low, high, part = ordered[before], ordered[min(before + 1, len(ordered) - 1)], place - before
    return high - (high - low) * (1 - part) if part >= 0.5 else low + (high - low) * part


class _Cut:
    """Cuts points into windows of ``size``, wherever the blocks end in which they come."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._steps: list[int] = []
        self._values: list[float] = []

    def take(self, steps: Sequence[int], values: Sequence[float]) -> list[_Window]:
        """Take points; return the windows that they complete."""
        self._steps += steps
        self._values += values
        if len(self._values) < self.size:
            return []
        whole = len(self._values) - len(self._values) % self.size
        windows = [
            _Window.of(self._steps[at : at + self.size], self._values[at : at + self.size])
            for at in range(0, whole, self.size)
        ]
        del self._steps[:whole], self._values[:whole]
        return windows

    def rest(self) -> _Window | None:
        """Return what has not filled a window; None if there is nothing."""
        return _Window.of(self._steps, self._values) if self._values else None


def _points(block: PointBlock, row: NDArray[np.float32]) -> tuple[Sequence[int], list[float]]:
    """Return the steps of a block at which a series has values, and these."""
    values = row.tolist()
    if not np.isnan(row).any():
        return range(block.start, block.start + len(values)), values
    there = np.flatnonzero(~np.isnan(row)).tolist()
    return [block.start + place for place in there], [values[place] for place in there]


@dataclass
class _Usual:
    """What is usual of a loss, by its short windows, and how many in a row lie beyond it."""

    start: float = 0.0
    first: float = 0.0
    best: float = float("inf")
    best_step: int = 0
    spread: float = 0.0
    beyond: int = 0
    medians: deque[float] = field(default_factory=lambda: deque(maxlen=64))

    @property
    def empty(self) -> bool:
        """Whether no window has come yet."""
        return self.best == float("inf")

    def limit(self, entry: Entry) -> float:
        """Return above which value a loss has exploded."""
        baseline = entry.baseline
        if baseline is not None and baseline.floor:
            usual = statistics.median(self.medians) if self.medians else baseline.loss
            return FLOOR_TIMES * max(usual, baseline.loss, 1.0)
        trivial = 0.0 if baseline is None else abs(baseline.loss)
        if self.empty:  # nothing but where it began, which is one noisy value
            return trivial * (1 + EXPLOSION_TIMES) if trivial else 1000 * max(abs(self.start), 1e-3)
        size = max(self.first - self.best, abs(self.best), self.spread, trivial, health.AT_TRIVIAL_LEAST)
        return self.best + EXPLOSION_TIMES * size

    def take(self, window: _Window, *, exploded: bool) -> None:
        """Learn from a window what is usual, unless it shows an explosion."""
        self.beyond = self.beyond + 1 if exploded else 0
        if exploded:
            return
        if not math.isnan(window.median):  # as between infinite ones
            self.medians.append(window.median)
        if self.empty:
            self.first, self.spread = window.median, window.spread
        if window.median < self.best:
            self.best, self.best_step = window.median, window.last
            self.spread = max(self.spread, window.spread)


@dataclass
class _Part:
    """One of the losses that a task returns by name: (last step, median, lowest median so far) of short windows."""

    cut: _Cut = field(default_factory=lambda: _Cut(SHORT_STEPS))
    windows: deque[tuple[int, float, float]] = field(default_factory=lambda: deque(maxlen=64))

    def take(self, steps: Sequence[int], values: Sequence[float]) -> None:
        """Take its points."""
        for window in self.cut.take(steps, values):
            best = min(self.windows[-1][2], window.median) if self.windows else window.median
            self.windows.append((window.last, window.median, best))

    def at(self, step: int) -> tuple[float, float]:
        """Return its newest and its lowest median at a step; (0, 0) before there is one."""
        known = [(median, best) for last, median, best in self.windows if last <= step]
        return known[-1] if known else (0.0, 0.0)


@dataclass
class _Series:
    """What is known of one task's loss since the last change of the job. parts: its losses by name."""

    parts: dict[str, _Part] = field(default_factory=dict)

    long: _Cut = field(default_factory=lambda: _Cut(WINDOW_STEPS))
    short: _Cut = field(default_factory=lambda: _Cut(SHORT_STEPS))
    medians: deque[float] = field(default_factory=lambda: deque(maxlen=PLATEAU_WINDOWS))
    first: float = 0.0
    best: float = float("inf")
    best_step: int = 0
    spread: float = 0.0
    high: int = 0
    low: int = 0
    diverged_at: int | None = None
    collapsed: bool = False
    collapsed_at: int | None = None
    plateau: float | None = None
    newest: list[float] = field(default_factory=list)
    newest_step: int = 0
    usual: _Usual = field(default_factory=_Usual)

    def rose(self, entry: Entry, step: int) -> str:
        """Return, in words, which of the losses by name rose most until a step, as they count in the sum, or ''."""
        most, words = 0.0, ""
        for name, part in self.parts.items():
            newest, best = part.at(step)
            rise = 0.0 if name in entry.apart else entry.part_weight(name) * (newest - best)
            if rise > most:
                most, words = rise, f"; of its losses '{name}' rose most, from {best:.4g} to {newest:.4g}"
        return words

    @property
    def far(self) -> float:
        """Return how far above the best a loss has diverged, were it without noise."""
        return health.far_above(self.first, self.best)

    def noise(self, count: int) -> float:
        """Return how far the median of ``count`` values may be off by chance, by the spread of the best window."""
        return float(NOISE_ERRORS * MEDIAN_ERROR * self.spread / count**0.5)


class Watch:
    """Turns blocks into alarms: divergence, plateau, collapse; each once until the loss has recovered.

    That a collapse is over is told, too. collapsed: key of a task -> the step at which its collapse was told, of
    those that stand when the run begins, as after a resume.
    """

    def __init__(self, collapsed: Mapping[str, int] | None = None) -> None:
        self._series: dict[str, _Series] = {}
        self._parts: dict[str, dict[str, _Part]] = {}
        self._standing: dict[str, int] = dict(collapsed or {})
        self._lr = 0.0

    def restart(self) -> None:
        """Forget what went before, as after a command that changed what is trained; not which collapses stand."""
        standing = {key: known.collapsed_at for key, known in self._series.items()} | self._standing
        self._series.clear()
        self._parts.clear()
        self._standing = {key: step for key, step in standing.items() if step is not None}

    def look(self, block: PointBlock, tasks: Mapping[str, Entry]) -> list[Alarm]:
        """Return the alarms that a block raises; tasks of weight 0 are not trained and raise none."""
        alarms: list[Alarm] = []
        if series.LEARNING_RATE in block.series:
            self._lr = float(block.values[block.series.index(series.LEARNING_RATE), -1])
        self._take_parts(block)
        for name, row in zip(block.series, block.values, strict=True):
            key = series.task_key(name)
            if key is None or name != series.raw(key) or key not in tasks or not tasks[key].spec.weight:
                continue
            steps, values = _points(block, row)
            if not values:
                continue
            if key not in self._series:
                self._series[key] = _Series(self._parts.setdefault(key, {}))
                self._series[key].usual.start = values[0]
                self._series[key].collapsed_at = self._standing.pop(key, None)
            known, entry = self._series[key], tasks[key]
            known.newest = [*known.newest, *values[-END_STEPS:]][-END_STEPS:]
            known.newest_step = steps[-1]
            found = [
                (window.last, _explosion(known, entry, window, self._lr))
                for window in known.short.take(steps, values)
            ]
            for window in known.long.take(steps, values):
                found += [(window.last, one) for one in self._judge(known, entry, window)]
            alarms += [_told(entry, step, one) for step, one in found if one is not None]
        return alarms

    def _take_parts(self, block: PointBlock) -> None:
        for name, row in zip(block.series, block.values, strict=True):
            part = series.part_of(name)
            if part is None:
                continue
            steps, values = _points(block, row)
            if values:
                self._parts.setdefault(part[0], {}).setdefault(part[1], _Part()).take(steps, values)

    def end(self, tasks: Mapping[str, Entry]) -> list[Alarm]:
        """Return the alarms of a run that is over: of how it ended, though that has not filled a window."""
        alarms: list[Alarm] = []
        for key, known in self._series.items():
            if key in tasks and tasks[key].spec.weight:
                found = _end(known, tasks[key], self._lr)
                if found is not None:
                    alarms.append(_told(tasks[key], *found))
        return alarms

    def _judge(self, known: _Series, entry: Entry, window: _Window) -> list[_Found | None]:
        known.medians.append(window.median)
        if entry.baseline is not None and entry.baseline.floor:
            # Such a loss rises as the model begins to tell something, and rests where it should: no alarms.
            return [_collapse(known, entry, window)] if entry.baseline.loss == 0 else []
        return [
            _divergence(known, entry, window, self._lr),
            _plateau(known, entry, window.median, self._lr),
        ]


def _told(entry: Entry, step: int, found: _Found) -> Alarm:
    return Alarm(found.kind, step, found.message, series.raw(entry.spec.key), found.over)


def _explosion(known: _Series, entry: Entry, window: _Window, lr: float) -> _Found | None:
    usual = known.usual
    usual.take(window, exploded=window.median > usual.limit(entry))
    if known.diverged_at is not None or usual.beyond < EXPLOSION_WINDOWS:
        return None
    known.diverged_at = window.last
    when = f"in the last {usual.beyond * SHORT_STEPS} steps{known.rose(entry, window.last)}"
    told = _diverges(entry, window.median, lr, usual, when)
    return _Found("divergence", told)


def _divergence(known: _Series, entry: Entry, window: _Window, lr: float) -> _Found | None:
    median = window.median
    if known.best == float("inf"):
        known.first = median
    if median < known.best:
        known.best, known.best_step, known.spread = median, window.last, window.spread
    above = median - known.best
    known.high = known.high + 1 if above > known.far + known.noise(WINDOW_STEPS) else 0
    if above < known.far / 2 and known.diverged_at is not None and window.first > known.diverged_at:
        known.diverged_at = None
    if known.diverged_at is not None or known.high < DIVERGENCE_WINDOWS:
        return None
    known.diverged_at = window.last
    when = f"for {known.high * WINDOW_STEPS} steps{known.rose(entry, window.last)}"
    return _Found("divergence", _diverges(entry, median, lr, known, when))


def _end(known: _Series, entry: Entry, lr: float) -> tuple[int, _Found] | None:
    """Return the divergence in which a run ended before there was a window to tell it by."""
    if known.diverged_at is not None:
        return None
    usual, newest = known.usual, known.newest
    if len(newest) == END_STEPS and min(newest) > usual.limit(entry):
        when = f"at the end{known.rose(entry, known.newest_step)}"
        told = _diverges(entry, newest[-1], lr, usual, when)
        return known.newest_step, _Found("divergence", told)
    floor = entry.baseline is not None and entry.baseline.floor
    rest = known.long.rest()
    if rest is None or floor or rest.count < SHORT_STEPS or known.best == float("inf"):
        return None
    far = known.far + known.noise(rest.count)
    rises = known.high or rest.median - known.best > 2 * far
    if not rises or rest.low - known.best <= far:
        return None
    when = f"at the end{known.rose(entry, rest.last)}"
    return rest.last, _Found("divergence", _diverges(entry, rest.median, lr, known, when))


def _diverges(entry: Entry, value: float, lr: float, best: _Series | _Usual, when: str) -> str:
    above = (
        ""
        if best.best == float("inf")
        else f", far above its best of {best.best:.4g} at step {best.best_step}"
    )
    return (
        f"the loss of task '{entry.spec.key}' (weight {entry.spec.weight:g}) diverges: {value:.4g}{above}, {when}. "
        f"A lower learning rate (now {lr:g}), a lower weight or a grad_clip_norm usually helps"
    )


def _plateau(known: _Series, entry: Entry, median: float, lr: float) -> _Found | None:
    if known.plateau is not None and median < known.plateau - health.AT_TRIVIAL_PART * abs(known.plateau):
        known.plateau = None
        known.medians.clear()  # it fell again; the next plateau begins here
    if known.plateau is not None or len(known.medians) < PLATEAU_WINDOWS:
        return None
    if known.diverged_at is not None or health.trend(known.medians)[0] != "flat":
        return None
    known.plateau = level = float(np.median(known.medians))
    told = (
        f"the loss of task '{entry.spec.key}' (weight {entry.spec.weight:g}) has been flat for "
        f"{PLATEAU_WINDOWS * WINDOW_STEPS} steps at {level:.4g}"
    )
    baseline = entry.baseline
    if baseline is None:
        advice = (
            f"If that is good enough, stop; else try another learning rate (now {lr:g}) or a higher weight"
        )
    elif health.level(level, baseline.loss) == "better than trivial":
        told += f", better than the trivial {baseline.loss:.4g}"
        advice = f"If that is good enough, stop; a lower learning rate (now {lr:g}) may get a little more"
    else:
        told += f", no better than the trivial {baseline.loss:.4g} ({baseline.words})"
        advice = (
            f"It learns nothing: raise its weight or the learning rate (now {lr:g}), or let it read more of "
            "the latent"
        )
    return _Found("plateau", f"{told}. {advice}")


def _collapse(known: _Series, entry: Entry, window: _Window) -> _Found | None:
    median = window.median
    known.low = known.low + 1 if median <= health.COLLAPSED_NATS else 0
    if median > 2 * health.COLLAPSED_NATS:  # between the two nothing is told, so that it does not flap
        known.collapsed = False
        since, known.collapsed_at = known.collapsed_at, None
        if since is not None:
            told = f"the loss of task '{entry.spec.key}' is at {median:.3g}, so the latent tells of an image again"
            return _Found("collapse", f"collapsed at {since}, recovered by {window.last}: {told}", over=True)
    if known.collapsed or known.low < COLLAPSE_WINDOWS:
        return None
    known.collapsed, known.collapsed_at = True, window.last
    message = (
        f"the posterior has collapsed: the loss of task '{entry.spec.key}' has been at {median:.2g} for "
        f"{known.low * WINDOW_STEPS} steps, so the latent tells nothing of an image. Lower its weight (now "
        f"{entry.spec.weight:g}), or give it warmup_steps or free_bits"
    )
    return _Found("collapse", message)

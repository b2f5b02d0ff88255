"""Watches the losses of a run block by block, and says once what a user should hear of. Numpy only.

Losses are reduced to the medians of windows of 100 steps that do not depend on where blocks end, so the same run
raises the same alarms at the same steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from acc.training import health, series
from acc.training.protocols import Alarm, PointBlock

if TYPE_CHECKING:
    from acc.training.taskset import Entry

WINDOW_STEPS = 100
"""A window's median is the smoothed loss; steps in which the task did not train do not count."""
DIVERGENCE_WINDOWS = 3
"""So many windows in a row must lie far above the best one."""
DIVERGENCE_PART = 0.5
"""Far above: by this part of what the loss had fallen, and by this part of the best itself."""
PLATEAU_WINDOWS = 20
"""So many windows must be flat."""
COLLAPSE_WINDOWS = 5
"""So many windows in a row must be at a floor of 0."""


@dataclass
class _Series:
    """What is known of one task's loss since the last change of the job."""

    steps: list[NDArray[np.int64]] = field(default_factory=list)
    values: list[NDArray[np.float32]] = field(default_factory=list)
    waiting: int = 0
    medians: deque[float] = field(default_factory=lambda: deque(maxlen=PLATEAU_WINDOWS))
    first: float = 0.0
    best: float = float("inf")
    best_step: int = 0
    high: int = 0
    low: int = 0
    diverged: bool = False
    collapsed: bool = False
    plateau: float | None = None

    def windows(self, steps: NDArray[np.int64], values: NDArray[np.float32]) -> list[tuple[int, float]]:
        """Take points; return (last step, median) of each window that they complete."""
        self.steps.append(steps)
        self.values.append(values)
        self.waiting += len(values)
        if self.waiting < WINDOW_STEPS:
            return []
        steps, values = np.concatenate(self.steps), np.concatenate(self.values)
        whole = self.waiting - self.waiting % WINDOW_STEPS
        self.steps, self.values, self.waiting = [steps[whole:]], [values[whole:]], self.waiting - whole
        medians = np.median(values[:whole].reshape(-1, WINDOW_STEPS).astype(np.float64), axis=1)
        return list(
            zip(steps[WINDOW_STEPS - 1 : whole : WINDOW_STEPS].tolist(), medians.tolist(), strict=True)
        )


class Watch:
    """Turns blocks into alarms: divergence, plateau, collapse; each once until the loss has recovered."""

    def __init__(self) -> None:
        self._series: dict[str, _Series] = {}

    def restart(self) -> None:
        """Forget what went before, as after a command that changed what is trained."""
        self._series.clear()

    def look(self, block: PointBlock, tasks: Mapping[str, Entry]) -> list[Alarm]:
        """Return the alarms that a block raises; tasks of weight 0 are not trained and raise none."""
        alarms: list[Alarm] = []
        lr = 0.0
        if series.LEARNING_RATE in block.series:
            lr = float(block.values[block.series.index(series.LEARNING_RATE), -1])
        for name, row in zip(block.series, block.values, strict=True):
            key = series.task_key(name)
            if key is None or name != series.raw(key) or key not in tasks or not tasks[key].spec.weight:
                continue
            there = np.flatnonzero(~np.isnan(row))
            known = self._series.setdefault(key, _Series())
            for step, median in known.windows(block.start + there, row[there]):
                alarms += self._judge(known, tasks[key], step, median, lr)
        return alarms

    def _judge(self, known: _Series, entry: Entry, step: int, median: float, lr: float) -> list[Alarm]:
        known.medians.append(median)
        if entry.baseline is not None and entry.baseline.floor:
            # Such a loss rises as the model begins to tell something, and rests where it should: no alarms.
            found = [_collapse(known, entry, median)] if entry.baseline.loss == 0 else []
        else:
            found = [_divergence(known, entry, step, median, lr), _plateau(known, entry, median, lr)]
        name = series.raw(entry.spec.key)
        return [Alarm(kind, step, message, name) for kind, message in found if message]


def _divergence(known: _Series, entry: Entry, step: int, median: float, lr: float) -> tuple[str, str]:
    if known.best == float("inf"):
        known.first = median
    if median < known.best:
        known.best, known.best_step = median, step
    far = DIVERGENCE_PART * max(known.first - known.best, abs(known.best), health.AT_TRIVIAL_LEAST)
    above = median - known.best
    known.high = known.high + 1 if above > far else 0
    if above < far / 2:
        known.diverged = False
    if known.diverged or known.high < DIVERGENCE_WINDOWS:
        return "divergence", ""
    known.diverged = True
    return "divergence", (
        f"the loss of task '{entry.spec.key}' (weight {entry.spec.weight:g}) diverges: {median:.4g}, far above its "
        f"best of {known.best:.4g} at step {known.best_step}, for {known.high * WINDOW_STEPS} steps. A lower "
        f"learning rate (now {lr:g}), a lower weight or a grad_clip_norm usually helps"
    )


def _plateau(known: _Series, entry: Entry, median: float, lr: float) -> tuple[str, str]:
    if known.plateau is not None and median < known.plateau - health.AT_TRIVIAL_PART * abs(known.plateau):
        known.plateau = None
        known.medians.clear()  # it fell again; the next plateau begins here
    if known.plateau is not None or len(known.medians) < PLATEAU_WINDOWS:
        return "plateau", ""
    if known.diverged or health.trend(known.medians)[0] != "flat":
        return "plateau", ""
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
    return "plateau", f"{told}. {advice}"


def _collapse(known: _Series, entry: Entry, median: float) -> tuple[str, str]:
    if median > 2 * health.COLLAPSED_NATS:
        known.collapsed = False
    known.low = known.low + 1 if median <= health.COLLAPSED_NATS else 0
    if known.collapsed or known.low < COLLAPSE_WINDOWS:
        return "collapse", ""
    known.collapsed = True
    return "collapse", (
        f"the posterior has collapsed: the loss of task '{entry.spec.key}' has been at {median:.2g} for "
        f"{known.low * WINDOW_STEPS} steps, so the latent tells nothing of an image. Lower its weight (now "
        f"{entry.spec.weight:g}), or give it warmup_steps or free_bits"
    )

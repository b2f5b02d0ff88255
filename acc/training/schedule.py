"""Which tasks a step trains: all of them together, or one that is drawn by its weight."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from acc.rng import seed_for
from acc.training.step import Plan

DRAWS_AHEAD = 1024  # task draws of the sampled schedule made at once


class JointSchedule:
    """Every step trains every enabled task."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def at(self, global_step: int) -> Plan:
        """Return what the step does."""
        return self._plan


class SampledSchedule:
    """Every step trains one enabled task, drawn by weight.

    The weight is the odds, so it does not scale the loss as well. Draws depend on seed and global step alone.
    """

    def __init__(self, plans: Sequence[Plan], weights: Sequence[float], seed: int) -> None:
        self._plans, self._seed = plans, seed
        self._bounds = list(accumulate(weights))
        self._chunk = -1
        self._draws: list[float] = []

    def at(self, global_step: int) -> Plan:
        """Return what the step does: the plan of the task drawn."""
        number, within = divmod(global_step, DRAWS_AHEAD)
        if self._chunk != number:
            generator = np.random.default_rng(seed_for(self._seed, "schedule", number))
            self._chunk, self._draws = number, generator.random(DRAWS_AHEAD).tolist()
        return self._plans[bisect_right(self._bounds, self._draws[within] * self._bounds[-1])]


Schedule = JointSchedule | SampledSchedule

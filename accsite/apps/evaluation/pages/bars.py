"""Numbers as places on an axis: a value with its interval, and the ticks that it is judged by."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

PAD = 0.06
"""How much of the axis lies free at either end, so that nothing stands on its edge."""


@dataclass(frozen=True)
class Bar:
    """Places in percent of an axis; None where there is no such number."""

    value: float
    low: float | None = None
    high: float | None = None
    trivial: float | None = None
    goal: float | None = None


@dataclass(frozen=True)
class Axis:
    """From where to where the numbers of a bar, or of the bars of a column, lie."""

    low: float
    high: float

    def at(self, value: float | None) -> float | None:
        """Return the place of a number in percent; None for none."""
        if value is None or not math.isfinite(value):
            return None
        part = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(100 * (PAD + (1 - 2 * PAD) * min(1.0, max(0.0, part))), 2)

    def bar(
        self,
        value: float | None,
        low: float | None = None,
        high: float | None = None,
        *,
        trivial: float | None = None,
        goal: float | None = None,
    ) -> Bar | None:
        """Return where a number and what belongs to it are drawn; None for no number."""
        place = self.at(value)
        if place is None:
            return None
        return Bar(place, self.at(low), self.at(high), self.at(trivial), self.at(goal))


def axis(numbers: Iterable[float | None]) -> Axis:
    """Return the axis that all of these numbers lie on; what is no number is left out."""
    known = [value for value in numbers if value is not None and math.isfinite(value)]
    return Axis(min(known), max(known)) if known else Axis(0.0, 1.0)

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
    ends: tuple[float, float] | None = None
    """Where 0 and 1 lie, if those are the ends of the scale that the number is on."""


@dataclass(frozen=True)
class Axis:
    """From where to where the numbers of a bar, or of the bars of a column, lie; unit: its scale goes from 0 to 1."""

    low: float
    high: float
    unit: bool = False

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
        zero, one = self.at(0.0), self.at(1.0)
        ends = (zero, one) if self.unit and zero is not None and one is not None else None
        return Bar(place, self.at(low), self.at(high), self.at(trivial), self.at(goal), ends)


def axis(numbers: Iterable[float | None], *, unit: bool = False) -> Axis:
    """Return the axis that all of these numbers lie on; what is no number is left out.

    unit: of numbers on a scale from 0 to 1, whose axis is that scale; it is longer only where one lies outside.
    """
    known = [value for value in numbers if value is not None and math.isfinite(value)]
    if unit:
        return Axis(min(0.0, *known), max(1.0, *known), unit=True) if known else Axis(0.0, 1.0, unit=True)
    return Axis(min(known), max(known)) if known else Axis(0.0, 1.0)

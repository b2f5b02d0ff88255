"""How numbers are written for people: the same on every page, in the command line and in ``static/js/numbers.js``."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

NONE = "\N{EN DASH}"
"""What stands where there is no number."""


def compact(value: float | None) -> str:
    """Return a measured number with three significant digits, or to the unit from 1,000 on; NONE for none.

    Below 0.001 and from a million on it has two digits and a power of ten: ``5.5e+7``.
    """
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1e-3 or size >= 1e6:
        return f"{_significant(value, 2):.1e}"
    if size >= 1000:
        return f"{Decimal(value).quantize(Decimal(1), ROUND_HALF_UP):,f}"
    return _plain(_significant(value, 3), thousands=True)


def exact(value: float | None) -> str:
    """Return a number that somebody has set, whole: the shortest text that reads back as the same number."""
    if value is None or not math.isfinite(value):
        return compact(value)
    number = Decimal(repr(float(value)))
    if value == 0:
        return "0"
    if 1e-6 <= abs(value) < 1e21:
        return _plain(number)
    sign, digits, _ = number.normalize().as_tuple()
    first, rest = str(digits[0]), "".join(map(str, digits[1:]))
    return f"{'-' if sign else ''}{first}{'.' if rest else ''}{rest}e{number.adjusted():+d}"


def if_finite(value: float | None) -> float | None:
    """Return a number as JSON can say it: None for one that is not finite."""
    return value if value is not None and math.isfinite(value) else None


def _significant(value: float, digits: int) -> Decimal:
    # Of two that are equally near, the one that is farther from 0, as JavaScript has it.
    exact_value = Decimal(value)
    unit = Decimal((0, (1,), exact_value.adjusted() - digits + 1))
    return exact_value.quantize(unit, ROUND_HALF_UP)


def _plain(number: Decimal, *, thousands: bool = False) -> str:
    text = f"{number:,f}" if thousands else f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

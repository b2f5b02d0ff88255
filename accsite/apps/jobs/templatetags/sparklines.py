"""A line without axes: how a figure was lately."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

KEPT = 60
"""How many values a whole line has; a shorter one ends at the right, where now is. The same as in devices.js."""
SCALES = {"temperature_celsius": (20.0, 100.0)}
PERCENT = (0.0, 100.0)


@register.simple_tag
def sparkline(key: str, values: Sequence[float | None]) -> SafeString:
    """Return the line of a figure, 60 wide and 100 high; ``data-values`` lets a script go on with it.

    What it shows is told in words and numbers beside it, so that it is nothing to be read out.
    """
    low, high = SCALES.get(key, PERCENT)
    drawn = " ".join(path(values, low, high))
    return format_html(
        '<svg class="spark" viewBox="0 0 60 100" preserveAspectRatio="none" aria-hidden="true" data-spark="{}" '
        'data-low="{}" data-high="{}" data-values="{}"><path d="{}"/></svg>',
        key,
        f"{low:g}",
        f"{high:g}",
        " ".join("-" if value is None else f"{value:g}" for value in values),
        drawn,
    )


def path(values: Sequence[float | None], low: float, high: float) -> Iterator[str]:
    """Yield the commands of a path; a gap where there is no value."""
    kept = values[-KEPT:]
    joined = False
    for place, value in enumerate(kept, KEPT - len(kept)):
        if value is None:
            joined = False
            continue
        height = 98 - 96 * min(1.0, max(0.0, (value - low) / (high - low)))
        yield f"{'L' if joined else 'M'}{place + 0.5:g} {height:.1f}"
        if not joined:
            yield f"h0.01 M{place + 0.5:g} {height:.1f}"
        joined = True

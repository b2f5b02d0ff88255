"""What templates of studies need."""

from __future__ import annotations

from collections.abc import Iterable

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from accsite.apps.studies.models import StudyResult
from accsite.apps.studies.pages import Dot

register = template.Library()


@register.filter
def value_of(row: StudyResult, outcome: str) -> str:
    """Return a number of an arm and a seed; where there is none, a dash."""
    value = row.values.get(outcome, {}).get("value")
    return "\N{EN DASH}" if value is None else f"{value:.4g}"


@register.filter
def drawn(dots: Iterable[Dot]) -> SafeString:
    """Return the dots of a row: made here, since a thousand of them are most of a large page, in bytes and in time."""
    told = ((dot, f"<title>{escape(dot.words)}</title>" if dot.words else "") for dot in dots)
    return mark_safe(  # noqa: S308 - numbers, and words that are escaped
        "".join(
            f'<circle class="seed" cx="{dot.x:.2f}%" cy="{dot.y:g}" r="4">{words}</circle>'
            for dot, words in told
        )
    )


@register.filter
def hours(value: float) -> str:
    """Return a time that nobody can know exactly: minutes below two hours."""
    if value < 1.5 / 60:
        return "a minute"
    return f"{value * 60:.0f} minutes" if value < 2 else f"{value:.1f} hours"

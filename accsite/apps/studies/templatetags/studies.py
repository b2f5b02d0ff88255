"""What templates of studies need."""

from __future__ import annotations

from django import template

from accsite.apps.studies.models import StudyResult

register = template.Library()


@register.filter
def value_of(row: StudyResult, outcome: str) -> str:
    """Return a number of an arm and a seed; where there is none, a dash."""
    value = row.values.get(outcome, {}).get("value")
    return "\N{EN DASH}" if value is None else f"{value:.4g}"


@register.filter
def hours(value: float) -> str:
    """Return a time that nobody can know exactly: minutes below two hours."""
    if value < 1.5 / 60:
        return "a minute"
    return f"{value * 60:.0f} minutes" if value < 2 else f"{value:.1f} hours"

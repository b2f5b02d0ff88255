"""Words of recipes: the first sentence of a description, and what more it says."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def lead(description: str) -> str:
    """Return the first paragraph of a description."""
    return description.partition("\n\n")[0]


@register.filter
def further(description: str) -> str:
    """Return what follows the first paragraph of a description."""
    return description.partition("\n\n")[2]

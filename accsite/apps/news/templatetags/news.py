"""``{% bell %}`` and ``{% rail_counts %}``: what every page says of the news."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from accsite.apps.news import pages

register = template.Library()


@register.inclusion_tag("news/bell.html", takes_context=True)
def bell(context: Context) -> dict[str, Any]:
    """Show the bell with the number of unread news; it opens the newest, and without a script their page."""
    return pages.count_context(context["request"])


@register.inclusion_tag("news/panels/rail_counts.html", takes_context=True)
def rail_counts(context: Context) -> dict[str, Any]:
    """Show how many jobs run and wait, and how many failed that one has not seen yet."""
    return pages.count_context(context["request"])

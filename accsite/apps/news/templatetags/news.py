"""``{% bell %}``, ``{% rail_counts %}`` and ``{% next_step %}``: what every page says of the news, and what is next."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from accsite.apps.news import first_run, pages

register = template.Library()


@register.inclusion_tag("news/bell.html", takes_context=True)
def bell(context: Context) -> dict[str, Any]:
    """Show the bell with the number of unread news; it opens the newest, and without a script their page."""
    return pages.count_context(context["request"])


@register.inclusion_tag("news/panels/rail_counts.html", takes_context=True)
def rail_counts(context: Context) -> dict[str, Any]:
    """Show how many jobs run and wait, and how many failed that one has not seen yet."""
    return pages.count_context(context["request"])


@register.inclusion_tag("news/panels/next_step.html", takes_context=True)
def next_step(context: Context) -> dict[str, Any]:
    """Show a newcomer what to do next where they work; nothing elsewhere, and nothing to anybody else."""
    if context.get("place") not in first_run.PLACES:
        return {"next_step": None}
    request = context["request"]
    match = request.resolver_match
    if match is not None and request.method == "GET":
        chosen = context.get(
            "chosen"
        )  # of a comparison: its checkpoints; pages of forms call their plugin so
        first_run.visited(request.user, match.view_name, len(chosen) if isinstance(chosen, list) else 0)
    return {**pages.next_context(request), "csrf_token": context.get("csrf_token")}

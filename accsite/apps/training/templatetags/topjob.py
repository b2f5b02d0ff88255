"""``{% top_job %}``: the job in the bar above every page."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from accsite.apps.training.pages import jobs as job_pages

register = template.Library()


@register.inclusion_tag("training/panels/topjob.html", takes_context=True)
def top_job(context: Context) -> dict[str, Any]:
    """Show the page's own job, with its controls, or another that is at work; ``about`` says what the page is about."""
    request = context["request"]
    shown = job_pages.top_job(request.user, **(context.get("about") or {}))
    return {**shown, "request": request, "csrf_token": context.get("csrf_token")}

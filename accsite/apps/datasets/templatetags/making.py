"""``{% dataset_jobs %}``: the jobs that make datasets, beside the datasets; ``|figure``: a number in short."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from accsite.apps.datasets import plots
from accsite.apps.datasets.views.make import making_context

register = template.Library()


@register.inclusion_tag("datasets/making.html", takes_context=True)
def dataset_jobs(context: Context) -> dict[str, Any]:
    """Show the jobs that make datasets now or did a moment ago, each with its progress."""
    request = context["request"]
    return {**making_context(request.user), "request": request, "csrf_token": context.get("csrf_token")}


@register.filter
def figure(value: float) -> str:
    """Return a number with four significant digits."""
    return plots.figure(value)

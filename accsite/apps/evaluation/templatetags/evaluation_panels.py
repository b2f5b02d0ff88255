"""Panels of evaluations for the pages of other apps, which name them only in their templates."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from accsite.apps.evaluation.pages.branches import reconstructions_context
from accsite.apps.training.models import Branch

register = template.Library()


@register.inclusion_tag("evaluation/reconstructions.html", takes_context=True)
def reconstructions(context: Context, branch: Branch) -> dict[str, Any]:
    """Show the newest reconstructions of a branch, and fetch newer ones when they are made."""
    return reconstructions_context(branch, context.get("versions"))

"""Panels of evaluations for the pages of other apps, which name them only in their templates."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from accsite.apps.evaluation.pages.branches import reconstructions_context
from accsite.apps.evaluation.selectors.asked import kept, read
from accsite.apps.training.models import Branch, Checkpoint

register = template.Library()

DRAWN = ("reconstructions", "traversals")


@register.inclusion_tag("evaluation/reconstructions.html", takes_context=True)
def reconstructions(context: Context, branch: Branch) -> dict[str, Any]:
    """Show the newest reconstructions of a branch, and fetch newer ones when they are made."""
    return reconstructions_context(branch, context.get("versions"))


@register.inclusion_tag("evaluation/of_checkpoint.html")
def pictures_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Show what is drawn of a checkpoint: its reconstructions and traversals, large."""
    drawn = {part: kept(checkpoint, read(part, {})).artifacts.get(part, []) for part in DRAWN}
    return {"checkpoint": checkpoint, **drawn}

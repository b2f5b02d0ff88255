"""The panel of a branch's latent, for the pages of other apps, which name it only in their templates."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from accsite.apps.latent.pages import panel_context
from accsite.apps.training.models import Branch

register = template.Library()


@register.inclusion_tag("latent/panel.html", takes_context=True)
def latent(context: Context, branch: Branch) -> dict[str, Any]:
    """Show the latent of a branch's newest checkpoint, to be taken in hand."""
    return panel_context(branch, context.get("versions"))


@register.filter
def at(letters: str, number: int) -> str:
    """Return the letter of a place, from 0."""
    return letters[number]

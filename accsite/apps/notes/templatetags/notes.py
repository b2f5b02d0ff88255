"""``{% note experiment %}``: the note of an experiment or a branch; ``{% markdown text %}``: any text in Markdown."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context
from django.utils.safestring import SafeString

from accsite.apps.notes import pages
from accsite.apps.notes.markdown import rendered
from accsite.apps.notes.selectors import Noted

register = template.Library()


@register.inclusion_tag("notes/panels/note.html", takes_context=True)
def note(context: Context, about: Noted) -> dict[str, Any]:
    """Show what was written to an experiment or a branch, and to whom may the way to write it."""
    return pages.note_context(context["request"], about)


@register.simple_tag(takes_context=True)
def markdown(context: Context, text: str) -> SafeString:
    """Return a text in Markdown, its panels as the reader may see them."""
    return rendered(text, context["request"].user)

"""The cells of a row: there are thousands on a page, too many for a template to loop over."""

from __future__ import annotations

from collections.abc import Sequence

from django import template
from django.template import Context
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from accsite.apps.jobs.templatetags.acc import at, state
from accsite.apps.runs.pages import Cell

register = template.Library()


@register.simple_tag(takes_context=True)
def cells(context: Context, found: Sequence[Cell]) -> SafeString:
    """Return the cells of a row, one ``td`` each."""
    return mark_safe("".join(_cell(context, cell) for cell in found))  # noqa: S308 - each part is escaped


def _cell(context: Context, cell: Cell) -> str:
    if cell.state:
        return f"<td>{state(cell.state, cell.text)}</td>"
    if cell.moment:
        return f"<td>{at(context, cell.moment)}</td>"
    more = f' <span class="soft small">{escape(cell.more)}</span>' if cell.more else ""
    return f"<td{' class=num' if cell.number else ''}>{escape(cell.text)}{more}</td>"

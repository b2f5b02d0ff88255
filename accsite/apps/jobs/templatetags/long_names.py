"""``{% middle name %}``: a long name that gives way in its middle, where names of one family are most alike."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

SHORT = 24
TAIL = 10


@register.simple_tag
def middle(name: str, most: int = SHORT, kept: int = TAIL) -> SafeString:
    """Return a name with an ellipsis in its middle where its place is narrow; read aloud, and on hover, it is whole.

    One of up to ``most`` letters is left as it is; of a longer one the last ``kept`` are always there.
    """
    if len(name) <= most:
        return format_html("{}", name)
    return format_html(
        '<span class="middle" title="{}"><span class="vh">{}</span><span aria-hidden="true">{}</span>'
        '<span aria-hidden="true">{}</span></span>',
        name,
        name,
        name[:-kept],
        name[-kept:],
    )

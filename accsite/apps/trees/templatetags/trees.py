"""Names on the pages of trees: whole for who asks, and short enough for their place."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accsite.apps.trees import names
from accsite.apps.trees.pictures import Picture

register = template.Library()
register.filter("called", names.called)
register.filter("place", names.place)

LONG = 26
TAIL = 10


@register.simple_tag
def long(name: str) -> SafeString:
    """Return a name that loses its middle, not its end, where there is no room; the whole is its tooltip."""
    if len(name) <= LONG:
        return format_html('<span class="midclip">{}</span>', name)
    head, tail = name[:-TAIL], name[-TAIL:]
    return format_html(
        '<span class="midclip" title="{}"><span>{}</span><span>{}</span></span>', name, head, tail
    )


@register.simple_tag
def thumbnail(picture: Picture | None, columns: int = 4) -> SafeString:
    """Return the first images of a picture and what the model makes of them; an empty frame where there is none."""
    if picture is None:
        return format_html('<span class="thumb none" title="{}"></span>', "no picture yet")
    return format_html(
        '<svg class="thumb pixels" viewBox="{}" role="img" aria-label="{}">'
        '<image href="{}" width="{}" height="{}"/></svg>',
        picture.crop(columns),
        picture.words,
        picture.url,
        picture.width,
        picture.height,
    )

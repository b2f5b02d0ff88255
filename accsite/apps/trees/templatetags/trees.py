"""Names and pictures on the pages of trees."""

from __future__ import annotations

from collections.abc import Sequence

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from acc.specs import FactorGroup
from accsite.apps.trees import names
from accsite.apps.trees.pictures import Picture

register = template.Library()
register.filter("called", names.called)
register.filter("place", names.place)
register.filter("tag_or_kind", names.tag_or_kind)


@register.filter
def widths(groups: Sequence[FactorGroup]) -> str:
    """Return the parts of a latent in words: ``digit 6, free 10``."""
    return ", ".join(f"{group.name} {group.width}" for group in groups) or "no groups"


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

"""Images of stored sprites: single tiles, and traversals with the value of each step."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accsite.apps.evaluation.models import Artifact

register = template.Library()

LABEL = 0.42  # height of the line of values above a traversal, in tiles


@register.simple_tag
def tile(artifact: Artifact, number: int, label: str = "") -> SafeString:
    """Return one image of a sprite; the browser fetches the sprite once for all of them."""
    meta = artifact.meta
    width, height = meta["tile"]
    row, column = divmod(number, meta["columns"])
    return format_html(
        '<svg class="tile" viewBox="{} {} {} {}" width="{}" height="{}" role="img" aria-label="{}"><title>{}</title>'
        '<image class="pixels" href="{}" width="{}" height="{}"/></svg>',
        column * width,
        row * height,
        width,
        height,
        width,
        height,
        label,
        label,
        reverse("evaluation:artifact", args=[artifact.pk]),
        meta["width"],
        meta["height"],
    )


@register.inclusion_tag("evaluation/parts/traversal.html")
def traversal(artifact: Artifact, owner: str = "") -> dict[str, Any]:
    """Show a traversal: a row for each seed, a column for each step, and over it the step's value."""
    meta = artifact.meta
    width = meta["tile"][0]
    label = round(LABEL * width, 1)
    values = [None, *meta["values"]]
    return {
        "artifact": artifact,
        "owner": owner,
        "meta": meta,
        "box": f"0 {-label} {meta['width']} {meta['height'] + label}",
        "top": -label,
        "full": round(meta["height"] + label, 1),
        "tile_width": width,
        "font": round(0.27 * width, 1),
        "baseline": round(-0.3 * label, 1),
        "steps": [
            {
                "number": number,
                "x": number * width,
                "middle": (number + 0.5) * width,
                "value": value,
                "words": "seed" if value is None else f"{value:.2f}",
            }
            for number, value in enumerate(values)
        ],
    }


@register.filter
def signed(value: float | None) -> str:
    """Return a number with its sign and up to three digits; a dash for none."""
    return "\N{EN DASH}" if value is None else f"{value:+.3g}"


@register.filter
def skill(value: float | None) -> str:
    """Return a number of about 0 to 1 with two digits behind the point; a dash for none."""
    return "\N{EN DASH}" if value is None else f"{value:z.2f}"

"""Images of stored sprites: single tiles, and traversals with the value of each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accsite.apps.evaluation.models import Artifact
from accsite.numbers import compact

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


@register.filter
def recon_alt(picture: Artifact) -> str:
    """Return what a picture of reconstructions shows."""
    kind = picture.meta.get("of") or "images"
    return (
        f"Three rows of {kind} of {picture.name} at step {picture.evaluation.step:,}: "
        "inputs, their reconstructions, and the absolute difference"
    )


@register.filter
def dimensions(meta: Mapping[str, Any]) -> str:
    """Return which dimensions a traversal or a sorting is along: as in "dimension 3, pattern of hair"."""
    if meta.get("direction") == "dimension":
        named = f"dimension {meta['start']}"
    else:
        named = f"dimensions {meta['start']}\N{EN DASH}{meta['end'] - 1}"
    return f"{named}, pattern of {meta['concept']}" if meta.get("concept") else named


@register.filter
def hue(hues: Mapping[str, int] | None, group: str | None) -> SafeString | str:
    """Return the attribute that gives an element the hue of a factor group; nothing for what is none."""
    slot = (hues or {}).get(group or "")
    return "" if slot is None else format_html('data-slot="{}"', slot)


@register.filter
def strip_alt(sprite: Artifact) -> str:
    """Return what the first row of a traversal shows."""
    values = sprite.meta["values"]
    return f"{sprite.name} moved from {compact(values[0])} to {compact(values[-1])} in {len(values)} steps"


@register.filter
def past_the_seed(sprite: Artifact) -> int:
    """Return the width of the steps of a traversal, without the seed image at their left."""
    return int(sprite.meta["width"] - sprite.meta["tile"][0])


@register.inclusion_tag("evaluation/parts/traversal.html")
def traversal(artifact: Artifact, owner: str = "", hues: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Show a traversal: a row for each seed, a column for each step, and over it the step's value."""
    meta = artifact.meta
    width = meta["tile"][0]
    label = round(LABEL * width, 1)
    values = [None, *meta["values"]]
    steps = [_step(number, value, meta["steps"], width) for number, value in enumerate(values)]
    return {
        "artifact": artifact,
        "owner": owner,
        "hues": hues,
        "meta": meta,
        "said": (
            f"Traversal of {artifact.name}: {meta['seeds']} seeds in rows, {meta['steps']} steps "
            f"from {compact(values[1])} to {steps[-1]['words']} in columns"
        ),
        "box": f"0 {-label} {meta['width']} {meta['height'] + label}",
        "top": -label,
        "full": round(meta["height"] + label, 1),
        "tile_width": width,
        "font": round(0.27 * width, 1),
        "baseline": round(-0.3 * label, 1),
        "steps": steps,
    }


def _step(number: int, value: float | None, steps: int, width: int) -> dict[str, Any]:
    words = "seed" if value is None else f"{value:.2f}"
    return {
        "number": number,
        "x": number * width,
        "middle": (number + 0.5) * width,
        "words": words,
        "readout": "the seed images" if value is None else f"step {number}: {words}",
        "title": "the seed images as they are"
        if value is None
        else f"step {number} of {steps}: value {words}",
    }


@register.filter
def signed(value: float | None) -> str:
    """Return a number with its sign and up to three digits; a dash for none."""
    return "\N{EN DASH}" if value is None else f"{value:+.3g}"


@register.filter
def skill_change(value: float) -> str:
    """Return a difference of such numbers with its sign, as ``skill`` writes them."""
    return f"{value:+z.2f}"


@register.filter
def skill(value: float | None) -> str:
    """Return a number of about 0 to 1 with two digits behind the point; a dash for none."""
    return "\N{EN DASH}" if value is None else f"{value:z.2f}"

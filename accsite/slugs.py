"""Addresses that are made of names: lower-case letters, digits and hyphens, each of its own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from django.utils.text import slugify

MAX_SLUG = 80


def free_slug(name: str, taken: Callable[[str], bool], *, otherwise: str) -> str:
    """Return the address of ``name``, numbered if it is taken.

    otherwise: of a name without any letter or digit from a to z, such as one in Japanese.
    """
    base = slugify(name)[: MAX_SLUG - 8].strip("-_") or otherwise
    numbered = (base if number == 1 else f"{base}-{number}" for number in count(1))
    return next(slug for slug in numbered if not taken(slug))

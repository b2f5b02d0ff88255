"""What lies where in the latent of a model, as pages show it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from acc.specs import FactorGroup
from accsite.hues import HUES


@dataclass(frozen=True)
class Range:
    """Dimensions of a latent: those of a factor group, or what belongs to none, without a name and a hue.

    ``hue``: the place of the group among those of its model.
    """

    name: str
    start: int
    end: int
    hue: int | None


def ranges(groups: Iterable[FactorGroup], latent_dim: int) -> list[Range]:
    """Return the factor groups, which are given by position, and what lies between and behind them."""
    found: list[Range] = []
    at = 0
    for place, group in enumerate(groups):
        if group.start > at:
            found.append(Range("", at, group.start, None))
        found.append(Range(group.name, group.start, group.end, place % HUES))
        at = group.end
    if at < latent_dim:
        found.append(Range("", at, latent_dim, None))
    return found

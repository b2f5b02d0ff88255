"""Trained models made larger, in the manner of Net2Net (Chen, Goodfellow, Shlens 2016): nothing learned is lost.

An architecture says by ``growth`` where the tensors of the small model lie in the larger one, and which new
weights must be zero for the outputs to stay the same. A new stage is a residual block whose convolution starts
at zero; new latent dimensions are encoded by fresh weights and read by the decoder with zeros, so that a
gradient reaches both; a new slot of a factor-slot decoder has a gate that is almost shut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from acc.errors import InvalidInput
from acc.specs import ModelSpec

SHUT = 1e-7
"""Where the gate of a new slot begins: no output changes by as much as 1e-5, and its gradient is not zero."""


@dataclass(frozen=True)
class Place:
    """Where an old tensor lies in a larger one: at these indices of one axis; the others are as long as before."""

    axis: int
    index: Tensor

    @staticmethod
    def first(axis: int, count: int) -> Place:
        return Place(axis, torch.arange(count))

    def put(self, old: Tensor, into: Tensor) -> Tensor:
        """Return a copy of ``into`` with ``old`` at its place."""
        return into.clone().index_copy_(self.axis, self.index, old.to(into.dtype))


@dataclass(frozen=True)
class Growth:
    """What an architecture becomes.

    spec: of the larger model. places: parameter -> where the old one lies in it, for those that change shape.
    silent: parameters whose new entries are zero when outputs must not change; shut: those that begin at SHUT.
    """

    spec: ModelSpec
    places: Mapping[str, Place] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    shut: frozenset[str] = frozenset()

    def fill(self, name: str) -> float | None:
        """Return what new entries of a parameter are when outputs must not change; None: what they are drawn as."""
        if name in self.silent:
            return 0.0
        return SHUT if name in self.shut else None


def grow(old: Tensor | None, fresh: Tensor, place: Place | None, *, fill: float | None) -> Tensor:
    """Return ``fresh``, its new entries set to ``fill`` if that is a number, with ``old`` where it lay."""
    into = fresh if fill is None else torch.full_like(fresh, fill)
    if old is None:
        return into
    if place is not None:
        return place.put(old.to(fresh.device), into)
    if old.shape != fresh.shape:
        raise InvalidInput(
            {"where": f"a tensor of shape {tuple(old.shape)} has no place in one of {tuple(fresh.shape)}"}
        )
    return old


def pad(old: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> dict[str, Place] | None:
    """Return where a head's tensors lie in a head with a wider input, or None if it is not clear.

    It is clear where one tensor alone has grown, and along axis 1: the first layer's weight, whose new columns
    read the new dimensions.
    """
    if old.keys() != fresh.keys():
        return None
    wider = [name for name in fresh if fresh[name].shape != old[name].shape]
    if not wider:
        return {}
    (name, *others) = wider
    before, after = old[name].shape, fresh[name].shape
    one_axis = len(before) == len(after) >= 2 and before[:1] + before[2:] == after[:1] + after[2:]
    if others or not one_axis or before[1] > after[1]:
        return None
    return {name: Place.first(1, before[1])}

"""Strokes of every slant, for learning slant apart from all else."""

from __future__ import annotations

from acc.api import Param, WrittenImages


class Slant(WrittenImages):
    """Glyphs that look like digits (or real digits written again), leaning from far left to far right.

    Thickness, slant and kind are drawn independently. Targets ``thickness`` and ``slant`` are measured on the
    image as Morpho-MNIST does (Castro et al. 2019): the slant is the lean from the vertical, and positive to the
    right at the top.
    """

    label = "Slant"
    version = 2

    thickness_min = Param(4.0, min=1, max=32, unit="px", help="thinnest stroke")
    thickness_max = Param(
        6.0, min=1, max=32, unit="px", help="thickest stroke; at most a quarter of the size"
    )

"""Strokes of every thickness, for learning thickness apart from all else."""

from __future__ import annotations

from acc.api import Param, WrittenImages


class Thickness(WrittenImages):
    """Glyphs that look like digits (or real digits written again), from thin to thick, leaning a little.

    Thickness, slant and kind are drawn independently. Targets ``thickness`` and ``slant`` are measured on the
    image as Morpho-MNIST does (Castro et al. 2019), in the units of the digits' columns of these names.
    """

    label = "Thickness"
    version = 2

    slant_min = Param(
        -0.3, min=-0.8, max=0.8, unit="rad", help="lean to the left of the vertical, if below 0"
    )
    slant_max = Param(0.3, min=-0.8, max=0.8, unit="rad", help="lean to the right at the top")

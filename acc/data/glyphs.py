"""Glyphs that look like digits: random curves, loops and bars with a chosen thickness and slant. Torch-free.

A model that learns thickness and slant from them is to find both on real digits. Strokes as simple as sticks do
not teach that; glyphs with the shapes of digits do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from acc.data import strokes
from acc.data.sampling import Labels, Values
from acc.errors import InvalidInput

KINDS = ("curve", "wave", "loop", "figure eight", "loop with bar", "angle", "double curve", "cross")
SEGMENTS = 24
_CHOICES = 12  # random numbers that make one glyph's shape
_MARGIN = 0.5  # pixels between the outermost trace of ink and the frame
_ROUNDS = 4  # of shear and fit, which depend on each other
_TAU = 2 * np.pi
End: TypeAlias = tuple[int, int]  # a segment, and 0 for its start or 1 for its end


def check(size: int, thickness: float) -> None:
    """Raise InvalidInput (params.thickness_max) for strokes too thick to leave a shape in the frame."""
    if thickness > size / 4:
        raise InvalidInput(
            {
                "params.thickness_max": f"{thickness:g} px leave no shape in {size} x {size} pixels; "
                f"at most {size / 4:g} px, a quarter of the size"
            }
        )


def shapes(rng: np.random.Generator, n: int) -> Values:
    """Return what makes each glyph of a kind its own: ``(N, 12)`` numbers in 0..1."""
    return rng.random((n, _CHOICES))


def opened(shapes: Values) -> Values:
    """Return the same glyphs wider and taller, with more room between their strokes."""
    more = shapes.copy()
    more[:, 5:7] = (1 + more[:, 5:7]) / 2
    return more


def draw(
    kinds: Labels, shapes: Values, *, thickness: Values, slant: Values, size: int, softness: float = 1.0
) -> NDArray[np.uint8]:
    """Return glyphs ``(N, 1, size, size) uint8``, wholly in the frame.

    kinds: ``(N,)`` places in KINDS. shapes: ``(N, 12)`` in 0..1. thickness: ``(N,)`` pixels. slant: ``(N,)``
    radians from the vertical, to the right at the top; the glyph's own lean is taken out first.
    """
    images = np.empty((len(kinds), 1, size, size), np.uint8)
    for kind in range(len(KINDS)):  # glyphs of a kind have their segments in like places
        rows = np.flatnonzero(kinds == kind)
        if len(rows):
            paths = _place(
                _KINDS[kind],
                shapes[rows],
                thickness=thickness[rows],
                slant=slant[rows],
                size=size,
                softness=softness,
            )
            images[rows] = strokes.draw(
                paths.astype(np.float32), thickness[rows].astype(np.float32), size, softness
            )
    return images


def _place(
    kind: _Kind, shapes: Values, *, thickness: Values, slant: Values, size: int, softness: float
) -> Values:
    """Return segments ``(N, K, 4)`` in pixels: outlines sheared to the slant and set into the frame."""
    room = size - 1 - 2 * _MARGIN - thickness - softness  # for the middle of the stroke
    points = _outline(kind, shapes) * (size * (0.8 + 0.2 * shapes[:, 6]))[:, None, None, None]
    spread = np.hypot(thickness, softness)
    for _ in range(_ROUNDS):
        missing = np.tan(slant) - _lean(points, spread, kind.free_ends)
        points[..., 0] -= missing[:, None, None] * points[..., 1]
        extent = (points.max(axis=(1, 2)) - points.min(axis=(1, 2))).max(axis=1)
        points *= np.minimum(1.0, room / np.maximum(extent, 1e-9))[:, None, None, None]
    low, high = points.min(axis=(1, 2)), points.max(axis=(1, 2))
    slack = room[:, None] - (high - low)
    # About the middle, as scans are.
    corner = (size - 1 - room[:, None]) / 2 + slack * (0.25 + 0.5 * shapes[:, 7:9])
    placed: Values = (points + (corner - low)[:, None, None]).reshape(len(points), -1, 4)
    return placed


def _lean(points: Values, spread: Values, free_ends: tuple[End, ...]) -> Values:
    """Return -u11 / u02 ``(N,)`` of the ink of segments ``(N, K, 2, 2)``; spread: pixels across them."""
    run = points[:, :, 1] - points[:, :, 0]
    length = np.maximum(np.hypot(run[..., 0], run[..., 1]), 1e-9)
    ends = points.copy()
    for segment, end in free_ends:
        # A half disc of ink beyond the end has the area of so much more of the stroke.
        more = np.pi / 8 * spread / length[:, segment]
        ends[:, segment, end] += (2 * end - 1) * more[:, None] * run[:, segment]
    run = ends[:, :, 1] - ends[:, :, 0]
    length = np.maximum(np.hypot(run[..., 0], run[..., 1]), 1e-9)
    middle = ends.mean(axis=2)
    weight = length / length.sum(axis=1, keepdims=True)
    x, y = (middle - np.einsum("nk,nkc->nc", weight, middle)[:, None]).transpose(2, 0, 1)
    dx, dy = run.transpose(2, 0, 1)
    # A stroke's ink lies along it and, as far as it is thick, across it.
    across = (spread[:, None] / length) ** 2
    u11 = (weight * (x * y + dx * dy * (1 - across) / 12)).sum(axis=1)
    u02 = (weight * (y * y + (dy * dy + dx * dx * across) / 12)).sum(axis=1)
    ratio: Values = -u11 / np.maximum(u02, 1e-9)
    return ratio


def _outline(kind: _Kind, shapes: Values) -> Values:
    """Return the segments ``(N, K, 2, 2)`` of glyphs of one kind, as high as 1 about the middle."""
    points = kind.points(shapes)
    points = points + _tremor(points, shapes)
    low, high = points.min(axis=1, keepdims=True), points.max(axis=1, keepdims=True)
    points = (points - (low + high) / 2) / np.maximum(high - low, 1e-9)
    points[..., 0] *= (kind.narrow + (kind.wide - kind.narrow) * shapes[:, 5])[:, None]
    segments = np.stack([points[:, :-1], points[:, 1:]], axis=2)
    kept: Values = np.delete(segments, kind.pen_up, axis=1)
    return kept


def _tremor(points: Values, shapes: Values) -> Values:
    """Return what a hand adds: slow waves of a few per cent."""
    phase = _TAU * shapes[:, [3, 4]][:, None]
    wave: Values = 0.07 * np.sin(_TAU * 0.4 * points[..., ::-1] + phase)
    return wave


def _path(pieces: int = SEGMENTS) -> Values:
    return np.linspace(0.0, 1.0, pieces + 1)[None]


def _xy(x: Values, y: Values) -> Values:
    """Return points ``(N, P, 2)``."""
    points: Values = np.stack(np.broadcast_arrays(x, y), axis=2)
    return points


def _mirror(points: Values, choice: Values) -> Values:
    """Return paths ``(N, P, 2)`` of which every second one is turned left to right."""
    points[..., 0] *= np.where(choice < 0.5, -1.0, 1.0)[:, None]
    return points


def _curve(u: Values) -> Values:
    """An open arc, as of C, U or the bow of 2."""
    angle = _TAU * u[:, :1] + np.pi * (0.75 + 0.9 * u[:, 1:2]) * _path()
    return _xy(np.cos(angle), np.sin(angle))


def _wave(u: Values) -> Values:
    """A line that swings from side to side, as of S, 5 and (narrow) 1."""
    t = _path()
    swing = np.sin(_TAU * ((0.4 + 0.7 * u[:, :1]) * t + u[:, 1:2]))
    return _mirror(_xy(swing + 0.4 * (u[:, 2:3] - 0.5) * t, 2 * t - 1), u[:, 9])


def _loop(u: Values) -> Values:
    """A closed oval, as of 0, with its ends not always meeting."""
    angle = _TAU * (u[:, :1] + (0.93 + 0.1 * u[:, 1:2]) * _path())
    bulge = 1 + 0.12 * (u[:, 2:3] - 0.5) * np.sin(angle)
    return _xy(np.cos(angle) * bulge, np.sin(angle))


def _eight(u: Values) -> Values:
    """Two loops, one above the other."""
    t = _TAU * _path()
    waist = 0.5 * (u[:, :1] - 0.5)
    width = 1 + 0.6 * (u[:, 1:2] - 0.5) * np.cos(t)
    return _xy(np.sin(2 * t) * width, np.cos(t) + waist * np.sin(t) ** 2)


def _loop_bar(u: Values) -> Values:
    """A loop and the bar that it hangs on, as of 6, 9, b, d, p and q."""
    bar, loop = SEGMENTS // 3, SEGMENTS - SEGMENTS // 3
    radius = 0.5 + 0.14 * (u[:, :1] - 0.5)
    t = _path(bar)
    # The bar runs down to the loop's side, bent as much as chance will have it.
    bow = (0.9 * u[:, 1:2] - 0.1) * radius * (1 - t) ** 2
    stem = _xy(-radius + bow, -1 + (2 - radius) * t)
    angle = np.pi - _TAU * _path(loop)[:, 1:] * (0.95 + 0.05 * u[:, 2:3])
    ring = _xy(radius * np.cos(angle), 1 - radius + radius * np.sin(angle))
    points = np.concatenate([stem, ring], axis=1)
    upside_down = np.where(u[:, 10] < 0.5, -1.0, 1.0)
    points[..., 1] *= upside_down[:, None]
    return _mirror(points, u[:, 9])


def _angle(u: Values) -> Values:
    """Straight strokes with one corner or two, as of 7, 1, L and Z."""
    third = SEGMENTS // 3
    zero = np.zeros(len(u))
    corners = np.stack(
        [
            np.stack([zero - 1, -0.8 - 0.2 * u[:, 0]], axis=1),
            np.stack([0.4 + 0.6 * u[:, 1], -0.8 + 0.1 * u[:, 2]], axis=1),
            np.stack([-0.8 + 0.9 * u[:, 2], zero + 0.8], axis=1),
            np.stack([0.1 + 0.9 * u[:, 0], 0.8 + 0.2 * (u[:, 1] - 0.5)], axis=1),
        ],
        axis=1,
    )
    # Most end with the second stroke: a 7, not a Z.
    two = (u[:, 10] < 0.6)[:, None]
    corners[:, 3] = np.where(two, corners[:, 2], corners[:, 3])
    corners[:, 2] = np.where(two, (corners[:, 1] + corners[:, 2]) / 2, corners[:, 2])
    t = _path(third)[..., None]
    strokes_ = [corners[:, [k]] * (1 - t) + corners[:, [k + 1]] * t for k in range(3)]
    points = np.concatenate([strokes_[0], strokes_[1][:, 1:], strokes_[2][:, 1:]], axis=1)
    return _mirror(points, 0.3 + u[:, 9])


def _double(u: Values) -> Values:
    """Two open arcs, one below the other, as of 3."""
    half = SEGMENTS // 2
    middle = 0.3 * (u[:, :1] - 0.5)
    inset = 0.1 + 0.6 * u[:, 1:2]
    arcs = []
    for top, bottom, wide in ((-1.0, middle, 0.8 + 0.2 * u[:, 2:3]), (middle, 1.0, 1.0)):
        angle = np.pi * (-0.5 - 0.25 + (1 + 0.5) * _path(half))
        y = (top + bottom) / 2 + (bottom - top) / 2 * np.sin(angle.clip(-np.pi / 2, np.pi / 2))
        arcs.append(_xy(np.cos(angle) * wide * (1 + inset) - inset, y))
    arcs[1][:, 0] = arcs[0][:, -1] = (arcs[0][:, -1] + arcs[1][:, 0]) / 2
    return _mirror(np.concatenate([arcs[0], arcs[1][:, 1:]], axis=1), 0.3 + u[:, 9])


def _cross(u: Values) -> Values:
    """A stroke through a corner or another stroke, as of 4, t and 7 with its bar."""
    third = SEGMENTS // 3
    zero = np.zeros(len(u))
    bar_y = 0.1 + 0.5 * u[:, 0]
    post_x = 0.1 + 0.5 * u[:, 1]
    hook = np.stack([post_x - 0.4 - 0.6 * u[:, 2], zero - 1], axis=1)
    left, right = np.stack([zero - 1, bar_y], axis=1), np.stack([zero + 1, bar_y - 0.2 * u[:, 2]], axis=1)
    top, foot = np.stack([post_x, -0.7 + 0.6 * u[:, 0]], axis=1), np.stack([post_x - 0.2, zero + 1], axis=1)
    t = _path(third)[..., None]
    pen = [a[:, None] * (1 - t) + b[:, None] * t for a, b in ((hook, left), (left, right), (top, foot))]
    return np.concatenate([pen[0], pen[1][:, 1:], pen[2]], axis=1)


@dataclass(frozen=True)
class _Kind:
    """points: 12 numbers in 0..1 a glyph ``(N, 12)`` -> its path ``(N, SEGMENTS + 1, 2)``.

    narrow, wide: width over height, the least and the most. free_ends: where ink ends round.
    pen_up: pieces of the path that are not drawn.
    """

    points: Callable[[Values], Values]
    narrow: float
    wide: float
    free_ends: tuple[End, ...] = ((0, 0), (-1, 1))
    pen_up: tuple[int, ...] = ()


_CROSSING = 2 * SEGMENTS // 3
_KINDS = (
    _Kind(_curve, 0.5, 0.9),
    _Kind(_wave, 0.12, 0.8),
    _Kind(_loop, 0.4, 0.85, free_ends=()),
    _Kind(_eight, 0.55, 0.85, free_ends=()),
    _Kind(_loop_bar, 0.4, 0.75, free_ends=((0, 0),)),
    _Kind(_angle, 0.35, 0.8),
    _Kind(_double, 0.45, 0.75),
    _Kind(
        _cross,
        0.5,
        0.85,
        free_ends=((0, 0), (_CROSSING - 1, 1), (_CROSSING, 0), (-1, 1)),
        pen_up=(_CROSSING,),
    ),
)

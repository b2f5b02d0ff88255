"""Plain shapes at an exact place, scale and rotation. Torch-free.

Each shape has its centre of mass at its place, and the area of a disc of radius ``scale``: neither class nor rotation
can be read from either.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from acc.data import strokes
from acc.data.sampling import Labels, Values
from acc.errors import InvalidInput

KINDS = (
    "circle",
    "square",
    "triangle",
    "star",
    "cross",
    "pentagon",
    "heart",
    "arrow",
    "half disc",
    "hexagon",
    "crescent",
    "L",
)
CIRCLE = 0
# A hexagon looks the same again after pi / 3: within half of that each rotation is seen for what it is.
MAX_ROTATION = 0.52
MARGIN = 1.0  # pixel between a shape and the frame
_ROUND = 48  # corners of a curved outline


def room(kinds: int, scale_max: float, size: int) -> tuple[float, float]:
    """Return the least and the greatest coordinate of a centre: the same for all, so that factors are independent.

    kinds: how many of KINDS may be drawn. Raises InvalidInput (params.scale_max) if there is no room.
    """
    reach = max(float(np.hypot(*outline(kind).T).max()) for kind in range(kinds))
    margin = reach * scale_max + MARGIN
    if margin > (size - 1) / 2:
        most = ((size - 1) / 2 - MARGIN) / reach
        raise InvalidInput(
            {
                "params.scale_max": f"{scale_max:g} px leaves some shape no room in {size} x {size} pixels; "
                f"at most {most:.4g} px"
            }
        )
    return margin, size - 1 - margin


def draw(
    kinds: Labels, x: Values, y: Values, *, scale: Values, rotation: Values, size: int
) -> NDArray[np.uint8]:
    """Return shapes ``(N, 1, size, size) uint8``.

    kinds: ``(N,)`` places in KINDS. x, y: ``(N,)`` of the centre of mass in pixels, (0, 0) being the middle of the
    first pixel. scale: ``(N,)`` radius of the disc of the same area, pixels. rotation: ``(N,)`` radians, clockwise.
    """
    images = np.empty((len(kinds), 1, size, size), np.uint8)
    cos, sin = np.cos(rotation) * scale, np.sin(rotation) * scale
    for kind in np.unique(kinds):
        rows = np.flatnonzero(kinds == kind)
        if kind == CIRCLE:
            centres = np.stack([x[rows], y[rows]], axis=1).astype(np.float32)
            images[rows] = strokes.discs(centres, scale[rows].astype(np.float32), size)
            continue
        px, py = outline(int(kind)).T
        c, s = cos[rows, None], sin[rows, None]
        corners = np.stack([x[rows, None] + c * px - s * py, y[rows, None] + s * px + c * py], axis=2)
        images[rows] = strokes.fill(corners.astype(np.float32), size)
    return images


@functools.cache
def outline(kind: int) -> NDArray[np.float64]:
    """Return the corners ``(K, 2)`` of a shape of area pi about its centre of mass, y down; read-only."""
    corners = _corners(KINDS[kind])
    x, y = corners.T
    following = np.roll(corners, -1, axis=0)
    twice = x * following[:, 1] - following[:, 0] * y
    area = twice.sum() / 2
    centre = ((corners + following) * twice[:, None]).sum(axis=0) / (6 * area)
    placed: NDArray[np.float64] = (corners - centre) * np.sqrt(np.pi / abs(area))
    placed.setflags(write=False)
    return placed


def _corners(name: str) -> NDArray[np.float64]:
    if name in _REGULAR:
        return _polar(_REGULAR[name])
    if name == "star":
        angle = np.pi * (np.arange(10) / 5 - 0.5)
        radius = np.where(np.arange(10) % 2, 0.45, 1.0)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    if name == "heart":
        t = 2 * np.pi * (np.arange(_ROUND) + 0.5) / _ROUND
        beats = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
        return np.stack([16 * np.sin(t) ** 3, -beats], axis=1)
    if name == "half disc":
        angle = np.linspace(-np.pi / 2, np.pi / 2, _ROUND // 2)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if name == "crescent":
        # Two arcs through the same two tips.
        outer, inner = np.linspace(0.8, 2 * np.pi - 0.8, _ROUND), np.linspace(-1.9, 1.9, _ROUND // 2)[1:-1]
        tip_x, tip_y = np.cos(0.8), np.sin(0.8)
        radius = tip_y / np.sin(1.9)
        hollow = np.stack([tip_x - radius * (np.cos(inner) - np.cos(1.9)), radius * np.sin(inner)], axis=1)
        return np.concatenate([np.stack([np.cos(outer), np.sin(outer)], axis=1), hollow])
    return np.array(_CORNERS[name], dtype=np.float64)


def _polar(corners: int) -> NDArray[np.float64]:
    # A polygon stands on a side; a square's is level.
    angle = 2 * np.pi * np.arange(corners) / corners + np.pi / 2 + np.pi / corners
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


_REGULAR = {"circle": _ROUND, "square": 4, "triangle": 3, "pentagon": 5, "hexagon": 6}
_CORNERS = {
    "cross": [
        (-1, -3), (1, -3), (1, -1), (3, -1), (3, 1), (1, 1), (1, 3), (-1, 3), (-1, 1), (-3, 1), (-3, -1), (-1, -1),
    ],
    "arrow": [(0, -3), (2.4, 0), (0.9, 0), (0.9, 3), (-0.9, 3), (-0.9, 0), (-2.4, 0)],
    "L": [(-2, -3), (-0.2, -3), (-0.2, 1.2), (2, 1.2), (2, 3), (-2, 3)],
}  # fmt: skip

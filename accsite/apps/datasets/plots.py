"""Where the bars of a histogram and the cells of a plot of two targets are drawn, and what they say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acc.data.browse import Pairs
from acc.render.colours import viridis

WIDTH, HEIGHT = 300, 72
SIDE = 300
PAIR_BINS = 20
LEAST_BAR = 1.0


@dataclass(frozen=True)
class Bar:
    """One bin: its place in a box of WIDTH x HEIGHT, ``counts`` of one or two series, and its values in words."""

    x: float
    width: float
    heights: list[float]
    counts: list[int]
    words: str

    @property
    def tops(self) -> list[float]:
        """Return where each bar begins, from above."""
        return [round(HEIGHT - height, 2) for height in self.heights]

    @property
    def of_chosen(self) -> str:
        """Its values, how many samples have them, and how many of these are chosen where some are."""
        whole, *chosen = self.counts
        return f"{self.words}: {whole:,}" + "".join(f", {count:,} chosen" for count in chosen)


@dataclass(frozen=True)
class Cell:
    """One bin of two targets together, with its colour."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    words: str


def figure(value: float) -> str:
    """Return a number with four significant digits."""
    return f"{float(f'{value:.4g}'):g}"


def bars(
    edges: Sequence[float], *series: Sequence[int], target: Mapping[str, Any], shares: bool = False
) -> list[Bar]:
    """Return the bars of series counted in the same bins; ``shares``: each is drawn by its share of its own sum."""
    if shares:
        heights = [np.asarray(counts) / max(1, sum(counts)) for counts in series]
        most = max((float(each.max()) for each in heights), default=0.0)
    else:
        heights = [np.asarray(counts, dtype=float) for counts in series]
        most = float(heights[0].max())
    n = len(edges) - 1
    return [
        Bar(
            x=round(number * WIDTH / n, 2),
            width=round(WIDTH / n, 2),
            heights=[_tall(float(each[number]), most) for each in heights],
            counts=[int(counts[number]) for counts in series],
            words=bin_words(edges, number, target),
        )
        for number in range(n)
    ]


def _tall(value: float, most: float) -> float:
    return round(max(LEAST_BAR, value / most * HEIGHT), 2) if value > 0 and most > 0 else 0.0


def bin_words(edges: Sequence[float], number: int, target: Mapping[str, Any]) -> str:
    """Return what falls into a bin: the class, or from where to where."""
    if target.get("kind") == "class":
        labels = target.get("labels") or ()
        return str(labels[number]) if number < len(labels) else str(number)
    return f"{figure(edges[number])} to {figure(edges[number + 1])}"


def span_of(edges: Sequence[float], low: str, high: str) -> tuple[float, float] | None:
    """Return x and width of what a filter lets through, None without one."""
    if not low and not high:
        return None
    first, last = edges[0], edges[-1]
    begin = max(first, float(low)) if low else first
    end = min(last, float(high)) if high else last
    scale = WIDTH / (last - first)
    return round((begin - first) * scale, 2), round(max(0.0, end - begin) * scale, 2)


def cells(found: Pairs, x: Mapping[str, Any], y: Mapping[str, Any]) -> list[Cell]:
    """Return the cells that hold samples, the greatest values of ``y`` on top; colour: the root of the count."""
    counts = np.asarray(found["counts"])
    rows, columns = counts.shape
    most = float(counts.max()) or 1.0
    width, height = SIDE / columns, SIDE / rows
    colours = viridis()
    drawn = []
    for row, column in np.argwhere(counts):
        count = int(counts[row, column])
        red, green, blue = colours[round(math.sqrt(count / most) * 255)]
        words = (
            f"{x['name']} {bin_words(found['x_edges'], int(column), x)}, "
            f"{y['name']} {bin_words(found['y_edges'], int(row), y)}: {count:,}"
        )
        drawn.append(
            Cell(
                x=round(column * width, 2),
                y=round(SIDE - (row + 1) * height, 2),
                width=round(width, 2),
                height=round(height, 2),
                fill=f"#{red:02x}{green:02x}{blue:02x}",
                words=words,
            )
        )
    return drawn

"""Small charts that the server draws: a metric over the steps of a branch, and the last few values of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accsite.apps.evaluation.models import Metric
from accsite.numbers import compact

WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 34, 12, 10, 24
SPARK_WIDTH, SPARK_HEIGHT, SPARK_PAD = 72, 20, 3


@dataclass(frozen=True)
class Point:
    """One value of a curve, and where it stands in the picture."""

    step: int
    value: float
    low: float | None
    high: float | None
    x: float
    y: float
    y_low: float
    y_high: float
    checkpoint: int | None

    @property
    def words(self) -> str:
        """Its step, its value, and between what it surely lies."""
        return f"step {self.step:,}: {compact(self.value)} ({compact(self.low)} to {compact(self.high)})"


@dataclass(frozen=True)
class Curve:
    """A metric between 0 and 1 over steps, as the paths of an SVG picture."""

    points: Sequence[Point]
    line: str
    band: str
    levels: Sequence[tuple[float, str]]
    where: str = ""
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def ends(self) -> tuple[float, float, float]:
        """The left and right end of the axis, and its foot."""
        return LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM


@dataclass(frozen=True)
class Trend:
    """The last values of a metric, oldest first, as a line."""

    values: Sequence[float]
    line: str
    last: tuple[float, float]
    width: int = SPARK_WIDTH
    height: int = SPARK_HEIGHT

    @property
    def written(self) -> list[str]:
        """The values as people read them."""
        return [compact(value) for value in self.values]


def plot(rows: Sequence[Metric], where: str = "") -> Curve | None:
    """Return the curve of metrics of one dataset with one set of options, ordered by step; None without one.

    where: the dataset, as the curve's title names it.
    """
    if not rows:
        return None
    first, last = rows[0].evaluation.step, rows[-1].evaluation.step

    def x(step: int) -> float:
        part = (step - first) / (last - first) if last > first else 0.5
        return round(LEFT + part * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(TOP + (1 - min(1.0, max(0.0, value))) * (HEIGHT - TOP - BOTTOM), 1)

    points = [
        Point(
            row.evaluation.step,
            row.value,
            row.low,
            row.high,
            x(row.evaluation.step),
            y(row.value),
            y(row.low if row.low is not None else row.value),
            y(row.high if row.high is not None else row.value),
            row.evaluation.checkpoint_id,
        )
        for row in rows
        if row.value is not None
    ]
    line = "M" + " L".join(f"{point.x} {point.y}" for point in points)
    upper = [f"{point.x} {point.y_high}" for point in points]
    lower = [f"{point.x} {point.y_low}" for point in reversed(points)]
    levels = [(y(level), f"{level:g}") for level in (0, 0.25, 0.5, 0.75, 1)]
    return Curve(points, line, "M" + " L".join([*upper, *lower]) + " Z", levels, where)


def trend(values: Sequence[float]) -> Trend | None:
    """Return the line of a few values; None of fewer than two."""
    if len(values) < 2:
        return None
    low, high = min(values), max(values)
    places = []
    for number, value in enumerate(values):
        x = SPARK_PAD + number / (len(values) - 1) * (SPARK_WIDTH - 2 * SPARK_PAD)
        part = (value - low) / (high - low) if high > low else 0.5
        places.append((round(x, 1), round(SPARK_PAD + (1 - part) * (SPARK_HEIGHT - 2 * SPARK_PAD), 1)))
    return Trend(values, "M" + " L".join(f"{x} {y}" for x, y in places), places[-1])

"""Looks at datasets without reading all of them: which samples, how they are distributed, how two differ. Torch-free.

Target columns are read whole, since they are small; of the images only those asked for, or evenly spaced ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from acc.data.dataset import AccDataset
from acc.errors import InvalidInput
from acc.names import listed

MAX_BINS = 200
MAX_IMAGES_READ = 10_000
_ROWS_AT_ONCE = 512
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Filter:
    """Which values of one target are wanted: those from ``low`` to ``high``, both included, and of ``among``."""

    target: str
    low: float | None = None
    high: float | None = None
    among: tuple[int, ...] | None = None


def select(
    data: AccDataset, filters: Sequence[Filter] = (), *, sort: str = "", descending: bool = False
) -> Indices:
    """Return the numbers of the samples that pass all filters, by the target ``sort`` or else by number.

    Samples of equal value stay in the order of their numbers. Raises InvalidInput naming a target there is not.
    """
    mask = np.ones(len(data), dtype=bool)
    for each in filters:
        values = column(data, each.target)
        if each.low is not None:
            mask &= values >= each.low
        if each.high is not None:
            mask &= values <= each.high
        if each.among is not None:
            mask &= np.isin(values, each.among)
    found = np.flatnonzero(mask)
    if not sort:
        return found[::-1] if descending else found
    values = column(data, sort, field="sort")[found]
    return found[np.argsort(-values if descending else values, kind="stable")]


class Histogram(TypedDict):
    """A target's ``edges`` (bins + 1) and ``counts`` (bins); the counts add up to the samples counted."""

    target: str
    edges: list[float]
    counts: list[int]


class Pairs(TypedDict):
    """How often two targets have values together: ``counts[iy][ix]``."""

    x: str
    y: str
    x_edges: list[float]
    y_edges: list[float]
    counts: list[list[int]]


class PixelFacts(TypedDict):
    """The averages of the mean image and of the spread of each pixel, 0..1, over so many images."""

    mean_value: float
    mean_spread: float
    images: int


class PixelStatistics(PixelFacts):
    """The same, with the images themselves: ``mean`` and ``std (C, H, W)`` in 0..1."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]


class SharedTarget(TypedDict):
    """A target that two datasets share: their counts in the same bins."""

    target: str
    kind: str
    edges: list[float]
    a: list[int]
    b: list[int]


class PixelComparison(TypedDict):
    """The pixels of two datasets; ``mean_difference``: root mean square of the mean images', of images of one shape."""

    a: PixelFacts
    b: PixelFacts
    mean_difference: float | None


class Comparison(TypedDict):
    """What two datasets share."""

    targets: list[SharedTarget]
    pixels: PixelComparison
    same_shape: bool


def histogram(data: AccDataset, target: str, *, bins: int = 30, rows: Indices | None = None) -> Histogram:
    """Return how the values of a target are distributed.

    A class target has one bin for each class, from k - 1/2 to k + 1/2. Edges are those of all samples, also when only
    ``rows`` are counted, so that a part can be drawn over the whole.
    """
    values = column(data, target)
    edges = edges_of(data, target, bins)
    counts = np.histogram(values if rows is None else values[rows], edges)[0]
    return {"target": target, "edges": edges.tolist(), "counts": counts.tolist()}


def pairs(data: AccDataset, x: str, y: str, *, bins: int = 30) -> Pairs:
    """Return how often two targets have values together."""
    x_edges, y_edges = edges_of(data, x, bins), edges_of(data, y, bins)
    counts = np.histogram2d(column(data, y), column(data, x), (y_edges, x_edges))[0].astype(np.int64)
    return {
        "x": x,
        "y": y,
        "x_edges": x_edges.tolist(),
        "y_edges": y_edges.tolist(),
        "counts": counts.tolist(),
    }


def edges_of(
    data: AccDataset, target: str, bins: int, *, span: tuple[float, float] | None = None
) -> NDArray[Any]:
    """Return the edges of a target's bins; ``span``: the least and the greatest value they are to hold."""
    if not 1 <= bins <= MAX_BINS:
        raise InvalidInput({"bins": f"{bins} is refused; choose 1 to {MAX_BINS}"})
    spec = next(each for each in data.target_specs if each.name == _known(data, target))
    if spec.kind == "class":
        return np.arange(int(spec.classes or 1) + 1) - 0.5
    values = column(data, target)
    low, high = span or (float(values.min()), float(values.max()))
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, bins + 1)


def column(data: AccDataset, target: str, *, field: str = "target") -> NDArray[Any]:
    """Return a target column ``(N,)``; raises InvalidInput (``field``) naming those there are."""
    values = data.targets[_known(data, target, field)]
    return values.astype(np.float64) if values.dtype == np.float32 else values


def pixel_facts(found: PixelStatistics) -> PixelFacts:
    """Return the numbers of pixel statistics alone."""
    return {
        "mean_value": found["mean_value"],
        "mean_spread": found["mean_spread"],
        "images": found["images"],
    }


def pixel_statistics(data: AccDataset) -> PixelStatistics:
    """Return the mean image and the spread of each pixel; of a larger dataset 10,000 evenly spaced images are read."""
    rows = spaced(len(data), MAX_IMAGES_READ)
    total = np.zeros(data.images.shape[1:])
    squares = np.zeros_like(total)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = unit(data.images[rows[start : start + _ROWS_AT_ONCE]]).astype(np.float64)
        total += part.sum(axis=0)
        squares += (part**2).sum(axis=0)
    mean = total / len(rows)
    std = np.sqrt(np.maximum(squares / len(rows) - mean**2, 0))
    return {
        "mean": mean,
        "std": std,
        "mean_value": float(mean.mean()),
        "mean_spread": float(std.mean()),
        "images": len(rows),
    }


def nearest(
    a: AccDataset, rows: Indices, b: AccDataset, *, neighbours: int = 1, limit: int = MAX_IMAGES_READ
) -> tuple[Indices, NDArray[np.float64]]:
    """Return the nearest images of ``b`` to ``rows`` of ``a``, ``(len(rows), neighbours)``, and their distances.

    Distance: root mean square difference of pixels in 0..1. Of a larger ``b``, ``limit`` evenly spaced images are
    looked at. Raises InvalidInput (b) for images of another shape.
    """
    if a.images.shape[1:] != b.images.shape[1:]:
        shapes = [" x ".join(map(str, data.images.shape[1:])) for data in (a, b)]
        raise InvalidInput(
            {"b": f"its images are {shapes[1]} and those of the other {shapes[0]}; choose one alike"}
        )
    wanted = unit(a.images[rows]).reshape(len(rows), -1)
    candidates = spaced(len(b), limit)
    found = np.empty((len(rows), len(candidates)), dtype=np.float32)
    own = (wanted**2).sum(axis=1)[:, None]
    for start in range(0, len(candidates), _ROWS_AT_ONCE):
        part = unit(b.images[candidates[start : start + _ROWS_AT_ONCE]])
        flat = part.reshape(len(part), -1)
        found[:, start : start + len(part)] = own + (flat**2).sum(axis=1) - 2 * wanted @ flat.T
    count = min(neighbours, len(candidates))
    first = np.argpartition(found, count - 1, axis=1)[:, :count]
    order = np.take_along_axis(
        first, np.argsort(np.take_along_axis(found, first, 1), axis=1, kind="stable"), 1
    )
    squares = np.maximum(np.take_along_axis(found, order, 1), 0).astype(np.float64)
    return candidates[order], np.sqrt(squares / wanted.shape[1])


def compare(a: AccDataset, b: AccDataset, *, bins: int = 30) -> Comparison:
    """Return what two datasets share: histograms on one axis for targets of one name, and pixel statistics."""
    shared: list[SharedTarget] = []
    kinds = {spec.name: spec.kind for spec in b.target_specs}
    for spec in a.target_specs:
        if kinds.get(spec.name) != spec.kind:
            continue
        if spec.kind == "class":
            longer = max((edges_of(data, spec.name, bins) for data in (a, b)), key=len)
        else:
            both = np.concatenate([column(data, spec.name) for data in (a, b)])
            longer = edges_of(a, spec.name, bins, span=(float(both.min()), float(both.max())))
        counts = [np.histogram(column(data, spec.name), longer)[0].tolist() for data in (a, b)]
        shared.append(
            {"target": spec.name, "kind": spec.kind, "edges": longer.tolist(), "a": counts[0], "b": counts[1]}
        )
    pixels = [pixel_statistics(data) for data in (a, b)]
    alike = a.images.shape[1:] == b.images.shape[1:]
    difference = np.sqrt(np.mean((pixels[0]["mean"] - pixels[1]["mean"]) ** 2)) if alike else None
    return {
        "targets": shared,
        "pixels": {
            "a": pixel_facts(pixels[0]),
            "b": pixel_facts(pixels[1]),
            "mean_difference": None if difference is None else float(difference),
        },
        "same_shape": alike,
    }


def spaced(n: int, limit: int) -> Indices:
    """Return up to ``limit`` of ``n`` numbers, evenly spaced, the first and the last among them."""
    if n <= limit:
        return np.arange(n)
    return np.linspace(0, n - 1, limit).round().astype(np.int64)


def unit(images: NDArray[Any]) -> NDArray[np.float32]:
    """Return images as float32 in 0..1."""
    wide = images.astype(np.float32)
    return wide / np.float32(255) if images.dtype == np.uint8 else wide


def filters_of(query: Mapping[str, str], data_targets: Sequence[Mapping[str, Any]]) -> list[Filter]:
    """Return the filters that a query asks for: ``<target>.min``, ``<target>.max``, ``<target>.in=1,2``.

    data_targets: the descriptions of the targets there are; a label may stand for its class. Raises InvalidInput by
    the name of the field in the query.
    """
    known = {str(each["name"]): each for each in data_targets}
    found: dict[str, dict[str, Any]] = {}
    errors: dict[str, str] = {}
    for field, text in query.items():
        target, dot, kind = field.rpartition(".")
        if not dot or kind not in {"min", "max", "in"} or text == "":
            continue
        if target not in known:
            errors[field] = f"{target!r} is not a target here; there are: {', '.join(known) or 'none'}"
            continue
        try:
            wanted = found.setdefault(target, {})
            if kind == "in":
                wanted["among"] = tuple(_class_number(part, known[target]) for part in listed(text))
            else:
                wanted["low" if kind == "min" else "high"] = _number(text)
        except ValueError as error:
            errors[field] = str(error)
    if errors:
        raise InvalidInput(errors)
    return [Filter(target, **wanted) for target, wanted in found.items()]


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not np.isfinite(number):
        raise ValueError(f"{text!r} is not a finite number")
    return number


def _class_number(text: str, target: Mapping[str, Any]) -> int:
    labels = list(target.get("labels") or ())
    if text.strip() in labels:
        return labels.index(text.strip())
    if not text.strip().isdecimal():
        known = ", ".join(labels[:20]) or f"0 to {int(target.get('classes') or 1) - 1}"
        raise ValueError(f"{text!r} is not a class here; there are: {known}")
    return int(text)


def _known(data: AccDataset, target: str, field: str = "target") -> str:
    if target not in data.targets:
        known = ", ".join(data.targets) or "none"
        raise InvalidInput({field: f"{target!r} is not a target of this dataset; there are: {known}"})
    return target

"""Reads datasets: rows, and what is in their files without reading all of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from acc.data import AccDataset, browse
from acc.data.dataset import PARTS
from acc.data.pixels import as_uint8
from acc.errors import InvalidInput
from acc.render import sprite
from accsite import blobs
from accsite.apps.datasets.models import Dataset
from accsite.blobs import BlobDamaged
from accsite.errors import WrongState

MAX_SPRITE_PIXELS = 2**24
MAX_KEPT = 64
MAX_KEPT_ROWS = 4_000_000
T = TypeVar("T")
_kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
_lock = threading.Lock()


def get(slug: object, *, removed: bool = False) -> Dataset:
    """Return the dataset with this slug; raises InvalidInput (dataset) naming those that exist.

    removed: also one that was removed and can be restored.
    """
    rows = Dataset.every if removed else Dataset.objects
    found = rows.filter(slug=slug).first() if isinstance(slug, str) else None
    if found is None:
        known = ", ".join(Dataset.objects.values_list("slug", flat=True)[:20]) or "none"
        raise InvalidInput({"dataset": f"{slug!r} is not a dataset of this site; known: {known}"})
    return found


def local_path(dataset: Dataset) -> Path:
    """Return a verified local file of the dataset; raises BlobDamaged if it is missing or altered."""
    return blobs.open_local(dataset.file, dataset.sha256)


def opened(dataset: Dataset) -> AccDataset:
    """Return the images and targets of a dataset, mapped from its file: for showing parts of it.

    The file is not hashed again if it was once and looks the same since. Raises WrongState when it is damaged.
    """
    try:
        return AccDataset.load(blobs.open_written(dataset.file, dataset.sha256))
    except BlobDamaged as error:
        raise WrongState({"file": str(error)}) from error


def split_of(dataset: Dataset) -> dict[str, int] | None:
    """Return how many rows each part has of the split that came with a dataset, {} for one that came with none.

    Of one that was made before its row told it, it is read from the file; None where that is not at hand.
    """
    if dataset.split is not None:
        return {part: dataset.split[part] for part in PARTS if part in dataset.split}
    file = blobs.at_hand(dataset.file, dataset.sha256)
    if file is None:
        return None
    try:
        return keep(("split", dataset.content_hash), lambda: AccDataset.load(file).parts)
    except (InvalidInput, OSError):  # a damaged file, which its page tells
        return None


class Samples(TypedDict):
    """A page of samples: how many there are in all, their numbers, and of each target one value for each of them."""

    total: int
    offset: int
    indices: list[int]
    values: dict[str, list[float]]


class Histogram(browse.Histogram):
    """A target's histogram over all ``total`` samples; ``selected``: the counts of those that pass the filters."""

    total: int
    selected: list[int] | None


class Nearest(TypedDict):
    """Samples ``a`` with the nearest image ``b`` of another dataset, of as many as were looked at; distances 0..1."""

    a: list[int]
    b: list[int]
    distances: list[float]
    looked_at: int


def rows(dataset: Dataset, query: Mapping[str, str]) -> NDArray[np.int64] | range:
    """Return the numbers of the samples that a query asks for, in its order.

    ``sort`` (a target; else by number), ``order`` (asc, desc), ``<target>.min``, ``<target>.max``, ``<target>.in=1,2``.
    Raises InvalidInput naming the field.
    """
    filters = browse.filters_of(query, dataset.targets)
    sort, order = query.get("sort", ""), query.get("order") or "asc"
    if order not in {"asc", "desc"}:
        raise InvalidInput({"order": f"{order!r} is refused; choose asc or desc"})
    if sort == "index":
        sort = ""
    descending = order == "desc"
    if not filters and not sort:
        return range(dataset.n - 1, -1, -1) if descending else range(dataset.n)
    key = ("rows", dataset.content_hash, tuple(filters), sort, descending)
    return keep(key, lambda: browse.select(opened(dataset), filters, sort=sort, descending=descending))


def samples(dataset: Dataset, query: Mapping[str, str], *, offset: int, limit: int) -> Samples:
    """Return a page of samples."""
    found = rows(dataset, query)
    page = np.asarray(found[offset : offset + limit], dtype=np.int64)
    data = opened(dataset)
    values = {name: column[page].tolist() for name, column in data.targets.items()}
    return {"total": len(found), "offset": offset, "indices": page.tolist(), "values": values}


def picture(dataset: Dataset, indices: NDArray[np.int64], *, columns: int) -> bytes:
    """Return one PNG of samples, pixel for pixel, ``columns`` to a row. Raises InvalidInput (limit) if too large."""
    count = max(1, len(indices))
    lines = -(-count // min(columns, count))
    if lines * min(columns, count) * dataset.height * dataset.width > MAX_SPRITE_PIXELS:
        fit = max(1, MAX_SPRITE_PIXELS // (dataset.height * dataset.width))
        size = f"{dataset.height} x {dataset.width}"
        raise InvalidInput(limit=f"{count} images of {size} make too large a picture; ask for up to {fit}")
    images = as_uint8(np.asarray(opened(dataset).images[indices]))
    return sprite(images, columns=min(columns, count))


def histogram(dataset: Dataset, target: str, query: Mapping[str, str], *, bins: int) -> Histogram:
    """Return the histogram of a target, with ``selected`` where the query has a filter."""
    filters = browse.filters_of(query, dataset.targets)
    key = ("histogram", dataset.content_hash, target, bins)
    whole = keep(key, lambda: browse.histogram(opened(dataset), target, bins=bins))
    if not filters:
        return {**whole, "total": dataset.n, "selected": None}
    chosen = np.asarray(rows(dataset, {name: text for name, text in query.items() if name != "sort"}))
    part = browse.histogram(opened(dataset), target, bins=bins, rows=chosen)
    return {**whole, "total": dataset.n, "selected": part["counts"]}


def pairs(dataset: Dataset, x: str, y: str, *, bins: int) -> browse.Pairs:
    """Return the counts of two targets together."""
    key = ("pairs", dataset.content_hash, x, y, bins)
    return keep(key, lambda: browse.pairs(opened(dataset), x, y, bins=bins))


def statistics(dataset: Dataset) -> browse.PixelStatistics:
    """Return the mean and the spread of a dataset's pixels: see ``browse.pixel_statistics``."""
    return keep(("pixels", dataset.content_hash), lambda: browse.pixel_statistics(opened(dataset)))


def statistics_picture(dataset: Dataset) -> bytes:
    """Return one PNG of the mean image and, beside it, the spread."""
    found = statistics(dataset)
    spread = found["std"] / max(float(found["std"].max()), 1e-9)
    both = np.stack([found["mean"], spread]).astype(np.float32)
    return sprite(as_uint8(both), columns=2)


def compare(a: Dataset, b: Dataset, *, bins: int) -> browse.Comparison:
    """Return what two datasets share: see ``browse.compare``."""
    key = ("compare", a.content_hash, b.content_hash, bins)
    return keep(key, lambda: browse.compare(opened(a), opened(b), bins=bins))


def nearest(a: Dataset, b: Dataset, *, offset: int, limit: int) -> Nearest:
    """Return samples of ``a`` from ``offset`` on, with the nearest image of ``b`` to each and its distance, 0..1."""
    wanted = np.arange(offset, min(offset + limit, a.n))
    key = ("nearest", a.content_hash, b.content_hash, offset, limit)

    def look() -> Nearest:
        found, distances = browse.nearest(opened(a), wanted, opened(b))
        return {
            "a": wanted.tolist(),
            "b": found[:, 0].tolist(),
            "distances": distances[:, 0].tolist(),
            "looked_at": min(b.n, browse.MAX_IMAGES_READ),
        }

    return keep(key, look)


def keep(key: tuple[Any, ...], make: Callable[[], T]) -> T:
    """Return what was made of this content before, else make it; the least used is forgotten. Content never changes."""
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            known: T = _kept[key]
            return known
    made = make()
    with _lock:
        _kept[key] = made
        while len(_kept) > 1 and (len(_kept) > MAX_KEPT or sum(map(_rows, _kept.values())) > MAX_KEPT_ROWS):
            _kept.popitem(last=False)
    return made


def _rows(value: Any) -> int:
    return value.size if isinstance(value, np.ndarray) else 0

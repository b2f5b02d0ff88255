"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in their binary version; the other one is of pickles, and refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.data.importers.found import Blocks, Lazy, joined
from acc.data.importers.limits import check_bytes, refuse
from acc.errors import InvalidInput

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
CIFAR_10 = re.compile(r"data_batch_\d+\.bin|test_batch\.bin")
CIFAR_100 = re.compile(r"(train|test)\.bin")
PICKLED = re.compile(r"data_batch_\d+|test_batch|batches\.meta")
BINARY = {"CIFAR-10": "cifar-10-binary.tar.gz", "CIFAR-100": "cifar-100-binary.tar.gz"}
_NAMES = {
    "batches.meta.txt": "label",
    "coarse_label_names.txt": "coarse",
    "fine_label_names.txt": "fine",
}


def pickled(names: Sequence[str]) -> str:
    """Return which of the two these names are the pickles of, or nothing."""
    there = {name.rsplit("/", 1)[-1] for name in names}
    if any(PICKLED.fullmatch(name) for name in there):
        return "CIFAR-10"
    return "CIFAR-100" if {"train", "test", "meta"} <= there else ""


def is_batch(path: Path) -> bool:
    """Return whether a file is a batch of the binary version, by its name and its size."""
    ten, hundred = CIFAR_10.fullmatch(path.name), CIFAR_100.fullmatch(path.name)
    return bool(ten or (hundred and path.stat().st_size % (2 + PIXELS) == 0))


def refused(file: str, which: str) -> InvalidInput:
    return refuse(
        file,
        f"is the Python version of {which}, whose files are pickles, which may hold code and are never read; take the "
        f"binary version instead: {BINARY[which]}",
    )


def read(
    paths: Sequence[Path], names: Mapping[str, Path], *, max_bytes: int
) -> tuple[str, Lazy, dict[str, NDArray[Any]], dict[str, tuple[str, ...]], list[str]]:
    """Return the layout's name, images, columns of labels, the names of their classes, and the part of each row.

    names: the files that name the classes, by their own names. Raises InvalidInput (file).
    """
    hundred = all(CIFAR_100.fullmatch(path.name) for path in paths)
    heads = ("coarse", "fine") if hundred else ("label",)
    batches = [_batch(path, len(heads), max_bytes) for path in sorted(paths, key=_order)]
    images = joined([image for image, _ in batches], "images")
    table = np.concatenate([labels() for _, labels in batches])
    columns = {head: table[:, place].astype(np.int64) for place, head in enumerate(heads)}
    labels: dict[str, tuple[str, ...]] = {}
    for file, head in _NAMES.items():
        if file in names and head in heads:
            text = names[file].read_bytes()[:100_000].decode("utf-8", "replace")
            labels[head] = tuple(line.strip() for line in text.splitlines() if line.strip())
    parts = ["test" if "test" in image.where else "train" for image, _ in batches for _ in range(len(image))]
    return "CIFAR-100" if hundred else "CIFAR-10", images, columns, labels, parts


def _order(path: Path) -> tuple[bool, str]:
    return "test" in path.name, path.name


def _batch(path: Path, heads: int, max_bytes: int) -> tuple[Lazy, Any]:
    row = heads + PIXELS
    size = path.stat().st_size
    if not size or size % row:
        raise refuse(
            path.name,
            f"has {size:,} bytes; rows of {row:,} bytes, a label and 32 x 32 pixels, need a multiple",
        )
    check_bytes(path.name, size, max_bytes)
    count = size // row

    def rows() -> NDArray[np.uint8]:
        return np.memmap(path, np.uint8, "r", 0, (count, row))

    def read(at_once: int) -> Blocks:
        with path.open("rb") as file:
            for start in range(0, count, at_once):
                block = np.frombuffer(file.read(min(at_once, count - start) * row), np.uint8).reshape(-1, row)
                yield block[:, heads:].reshape(-1, *SHAPE)

    lazy = Lazy(
        "images",
        path.name,
        (count, *SHAPE),
        np.dtype(np.uint8),
        read,
        pick=lambda numbers: np.asarray(rows()[numbers][:, heads:]).reshape(-1, *SHAPE),
    )
    return lazy, lambda: np.asarray(rows()[:, :heads])

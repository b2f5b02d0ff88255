"""HDF5: the datasets of a file by their paths, each read in blocks. No link out of the file is followed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.data.importers.found import Blocks, Lazy
from acc.data.importers.limits import check_bytes, refuse
from acc.data.importers.mapping import PassedOver
from acc.data.importers.optional import library
from acc.errors import InvalidInput

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_DATASETS = 10_000


def arrays(path: Path, stack: ExitStack, *, max_bytes: int) -> tuple[dict[str, Lazy], list[PassedOver]]:
    """Return the arrays of an HDF5 file, open as long as ``stack``, and what is passed over.

    Raises InvalidInput (file), some of it while arrays are read.
    """
    h5py = library("h5py", path.name, "an HDF5 file")
    found: dict[str, Lazy] = {}
    passed_over: list[PassedOver] = []

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        if len(found) + len(passed_over) >= MAX_DATASETS:
            raise refuse(path.name, f"holds more than {MAX_DATASETS:,} datasets")
        why = _refused(item)
        if why:
            passed_over.append(PassedOver(name=name, why=why))
            return
        check_bytes(path.name, math.prod(item.shape) * item.dtype.itemsize, max_bytes)
        found[name] = _lazy(name, item, path)

    with _told(path):
        file = stack.enter_context(h5py.File(path, "r"))
        file.visititems(visit)  # which follows no link to another file
    return found, passed_over


def _refused(item: Any) -> str:
    if item.external or item.is_virtual:
        return "lies in another file"
    if not item.shape:
        return "is one value alone"
    if item.dtype.hasobject or item.dtype.kind not in "biufS":
        return f"is of type {item.dtype}; need numbers or texts"
    return ""


def _lazy(name: str, item: Any, path: Path) -> Lazy:
    native = item.dtype.newbyteorder("=")

    def read(rows: int) -> Blocks:
        # A chunk is unpacked whole, so that a block is of whole chunks.
        step = rows
        if item.chunks:
            step = max(1, rows // item.chunks[0]) * item.chunks[0]
        with _told(path):
            for start in range(0, len(item), step):
                block = np.asarray(item[start : start + step], native)
                for at in range(0, len(block), rows):
                    yield block[at : at + rows]

    def pick(rows: NDArray[np.int64]) -> NDArray[Any]:
        with _told(path):
            return np.asarray(item[rows], native)

    return Lazy(name, path.name, tuple(item.shape), native, read, pick=pick)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except InvalidInput:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise refuse(path.name, f"is not a whole HDF5 file: {error}") from error

"""MATLAB's ``.mat`` as scipy reads it, and the files of smallNORB that are called the same. Nothing in them is run."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.data.importers.found import Blocks, Lazy, of_array
from acc.data.importers.limits import check_bytes, refuse
from acc.data.importers.mapping import PassedOver
from acc.errors import InvalidInput

NORB_TYPES = {
    0x1E3D4C55: "<u1",
    0x1E3D4C54: "<i4",
    0x1E3D4C51: "<f4",
    0x1E3D4C53: "<f8",
    0x1E3D4C56: "<i2",
}
"""LeCun, Huang & Bottou (2004): the first word of a file tells the type of its numbers."""
_NUMBERS = {
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "single", "double", "logical",
}  # fmt: skip
_BYTES = {"int8": 1, "uint8": 1, "logical": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "single": 4}
_LEAST_AXES = 3


def is_norb(head: bytes) -> bool:
    return len(head) >= 4 and struct.unpack("<I", head[:4])[0] in NORB_TYPES


def norb(path: Path, name: str, *, max_bytes: int) -> Lazy:
    """Return the array of a file of smallNORB, read in blocks; raises InvalidInput (file)."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(8)
            if len(head) < 8 or not is_norb(head):
                raise refuse(path.name, "is no file of smallNORB: it ends within its header")
            kind, axes = struct.unpack("<2I", head)
            if not 1 <= axes <= 8:
                raise refuse(path.name, f"tells of {axes} axes; 1 to 8 are allowed")
            sizes = file.read(4 * max(axes, _LEAST_AXES))
    except OSError as error:
        raise refuse(path.name, f"cannot be read: {error.strerror or error}") from error
    if len(sizes) < 4 * max(axes, _LEAST_AXES):
        raise refuse(path.name, "ends within its header")
    shape = struct.unpack(f"<{len(sizes) // 4}I", sizes)[:axes]
    dtype = np.dtype(NORB_TYPES[kind])
    needed, offset = math.prod(shape) * dtype.itemsize, 8 + len(sizes)
    check_bytes(path.name, needed, max_bytes)
    if size - offset != needed:
        raise refuse(
            path.name,
            f"says it holds {' x '.join(map(str, shape))} values in {needed:,} bytes, but has {size - offset:,}",
        )

    def read(rows: int) -> Blocks:
        each = needed // max(1, shape[0])
        with path.open("rb") as file:
            file.seek(offset)
            for start in range(0, shape[0], rows):
                count = min(rows, shape[0] - start)
                data = file.read(count * each)
                if len(data) != count * each:
                    raise refuse(path.name, "has become shorter while it was read")
                yield np.frombuffer(data, dtype).reshape(count, *shape[1:])

    def pick(rows: NDArray[np.int64]) -> NDArray[Any]:
        return np.asarray(np.memmap(path, dtype, "r", offset, shape)[rows])

    return Lazy(name, path.name, shape, dtype, read, pick=pick)


def arrays(path: Path, *, max_bytes: int) -> tuple[dict[str, Lazy], list[PassedOver]]:
    """Return the arrays of numbers of a MATLAB file up to version 7, and what is passed over.

    Raises InvalidInput (file).
    """
    from scipy import io  # takes a third of a second, and few files need it

    try:
        described = io.whosmat(str(path))
        wanted = [name for name, shape, kind in described if kind in _NUMBERS and math.prod(shape) > 1]
        size = sum(
            math.prod(shape) * _BYTES.get(kind, 8) for name, shape, kind in described if name in wanted
        )
        check_bytes(path.name, size, max_bytes)
        found = io.loadmat(str(path), variable_names=wanted) if wanted else {}
    except InvalidInput:
        raise
    except NotImplementedError as error:  # of version 7.3, which is HDF5 and known by its first bytes
        raise refuse(path.name, f"is a MATLAB file of another version: {error}") from error
    except Exception as error:  # scipy's reader raises what it likes for what is damaged
        raise refuse(path.name, f"is not a whole MATLAB file: {type(error).__name__} {error}") from error
    passed_over = [
        PassedOver(name=name, why=f"is {kind} of shape {shape}; need an array of numbers")
        for name, shape, kind in described
        if name not in wanted
    ]
    return {
        name: of_array(name, found[name], path.name)
        for name in wanted
        if isinstance(found.get(name), np.ndarray)
    }, passed_over

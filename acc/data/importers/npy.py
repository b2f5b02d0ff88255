"""NumPy's ``.npy``: one array. Its header is believed only after it was checked against the bytes there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, Literal

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from acc.data.importers.found import Blocks, Lazy
from acc.data.importers.limits import MAX_DATASET_BYTES, check_bytes, refuse
from acc.errors import InvalidInput

MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 10_000
_READERS = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}

# NumPy parses the header as Python text, and, where that fails, once more word by word.
_NO_HEADER = (ValueError, SyntaxError, TypeError, TokenError, RecursionError, MemoryError)


def lazy(path: Path, name: str, *, max_bytes: int = MAX_DATASET_BYTES) -> Lazy:
    """Return the array of a ``.npy`` file, read in blocks; raises InvalidInput (file)."""

    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        try:
            with path.open("rb") as file:
                yield file
        except (ValueError, SyntaxError, TypeError, EOFError) as error:
            raise refuse(path.name, f"is not a whole .npy file: {error}") from error
        except OSError as error:
            raise refuse(path.name, f"cannot be read: {error.strerror or error}") from error

    with opened() as file:
        header = read_header(file, path.stat().st_size, path.name, max_bytes)
        if not header.shape:
            raise refuse(path.name, "holds one value alone; images have three axes: N, height, width")
        offset = file.tell()

    return of_stream(name, path.name, header, opened, mapped(path, header, offset))


def mapped(path: Path, header: Header, offset: int) -> Callable[[NDArray[np.int64]], NDArray[Any]]:
    """Return what takes some rows of an array that lies unpacked in a file."""

    def pick(rows: NDArray[np.int64]) -> NDArray[Any]:
        array = np.memmap(path, header.dtype, "r", offset, header.shape, header.order)
        return np.asarray(array[rows], header.native)

    return pick


def of_stream(
    name: str,
    where: str,
    header: Header,
    opened: Callable[[], AbstractContextManager[IO[bytes]]],
    pick: Callable[[NDArray[np.int64]], NDArray[Any]] | None = None,
) -> Lazy:
    """Return an array that is read as a ``.npy`` file is, from a file that ``opened`` opens anew each time."""

    def read(rows: int) -> Blocks:
        with opened() as file:
            npy_format.read_magic(file)
            _READERS[header.version](file, max_header_size=_MAX_HEADER_BYTES)
            shape, each = header.shape, header.size // max(1, header.shape[0] if header.shape else 1)
            if header.order == "F" and len(shape) > 1:
                # Column by column: a block of rows lies nowhere in one piece.
                whole = np.frombuffer(_exactly(file, header.size), header.dtype).reshape(shape, order="F")
                for start in range(0, shape[0], rows):
                    yield np.ascontiguousarray(whole[start : start + rows], header.native)
                return
            for start in range(0, shape[0], rows):
                count = min(rows, shape[0] - start)
                data = np.frombuffer(_exactly(file, count * each), header.dtype)
                yield data.reshape(count, *shape[1:]).astype(header.native, copy=False)

    return Lazy(name, where, header.shape, header.native, read, pick=pick)


def _exactly(file: IO[bytes], size: int) -> bytearray:
    """Return the next bytes, read in pieces: a packed file gives fewer than it is asked for."""
    data = bytearray(size)
    view = memoryview(data)
    filled = 0
    while filled < size:
        count = file.readinto(view[filled:])  # type: ignore[attr-defined]  # all of ours have it
        if not count:
            raise ValueError(f"it ends {size - filled:,} bytes too early")
        filled += count
    return data


@dataclass(frozen=True)
class Header:
    """What the header of an array tells. order: ``C``, row by row, or ``F``."""

    version: tuple[int, int]
    shape: tuple[int, ...]
    order: Literal["C", "F"]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def native(self) -> np.dtype[Any]:
        return self.dtype.newbyteorder("=")


class Pickled(InvalidInput):
    """An array of Python objects, which is not read."""


def read_header(file: IO[bytes], size: int, name: str, max_bytes: int) -> Header:
    """Return the header, if what follows it in ``size`` bytes is the array that it tells of.

    Raises InvalidInput (file), Pickled among them, and ValueError for what is no header.
    """
    version = npy_format.read_magic(file)
    reader = _READERS.get(version)
    if reader is None:
        raise ValueError(f"version {version} is not known")
    try:
        shape, fortran, dtype = reader(file, max_header_size=_MAX_HEADER_BYTES)
    except _NO_HEADER as error:
        raise ValueError(f"its header cannot be read: {error}") from error
    if dtype.hasobject:
        raise Pickled({"file": f"'{name}' holds Python objects; need arrays of numbers only"})
    if any(side < 0 for side in shape):
        raise ValueError(f"its shape is {shape}")
    found = Header(version, shape, "F" if fortran else "C", dtype)
    check_bytes(name, found.size, max_bytes)
    if found.size != size - file.tell():
        raise ValueError(f"it tells of {found.size:,} bytes, and {size - file.tell():,} follow")
    return found

"""NumPy's ``.npy``: one array. Its header is believed only after it was checked against the bytes there are.

Of an array that is stored column by column a block of rows lies nowhere in one piece: it is put together of a piece of
each column, from the file where it lies, or from a copy on the disk of what is packed.
"""

from __future__ import annotations

import io
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
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
_COPY_BYTES = 1 << 20
_READERS = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}

# NumPy parses the header as Python text, and, where that fails, once more word by word.
_NO_HEADER = (ValueError, SyntaxError, TypeError, TokenError, RecursionError, MemoryError)


def lazy(path: Path, name: str, *, max_bytes: int = MAX_DATASET_BYTES) -> Lazy:
    """Return the array of a ``.npy`` file, read in blocks; raises InvalidInput (file)."""
    opened = partial(_opened, path)
    with opened() as file:
        header = read_header(file, path.stat().st_size, path.name, max_bytes)
        if not header.shape:
            raise refuse(path.name, "holds one value alone; images have three axes: N, height, width")
        offset = file.tell()

    return of_stream(name, path.name, header, opened, mapped(path, header, offset))


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as file:
            yield file
    except (ValueError, SyntaxError, TypeError, EOFError) as error:
        raise refuse(path.name, f"is not a whole .npy file: {error}") from error
    except OSError as error:
        raise refuse(path.name, f"cannot be read: {error.strerror or error}") from error


def mapped(path: Path, header: Header, offset: int) -> Callable[[NDArray[np.int64]], NDArray[Any]]:
    """Return what takes some rows, in rising order, of an array that lies unpacked in a file, from ``offset`` on.

    The file may have changed since its header was read: what is short of the array is refused (file).
    """

    def pick(rows: NDArray[np.int64]) -> NDArray[Any]:
        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if len(rows) else []
        with _opened(path) as file:
            found = [_rows(file, header, offset, int(run[0]), len(run)) for run in runs]
        return np.concatenate(found) if found else np.empty((0, *header.shape[1:]), header.native)

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
            starts = range(0, header.shape[0], rows)
            if header.order == "F" and len(header.shape) > 1:
                with _seekable(file, header.size) as (columns, offset):
                    for start in starts:
                        yield _rows(columns, header, offset, start, min(rows, header.shape[0] - start))
                return
            for start in starts:
                count = min(rows, header.shape[0] - start)
                data = _exactly(file, count * (header.size // header.shape[0]))
                yield _block(data, header, count)

    return Lazy(name, where, header.shape, header.native, read, pick=pick)


@contextmanager
def _seekable(file: IO[bytes], size: int) -> Iterator[tuple[IO[bytes], int]]:
    """Yield a file of the disk with the next ``size`` bytes, and where in it they begin: a packed one is copied."""
    if isinstance(file, io.BufferedReader):
        yield file, file.tell()
        return
    with tempfile.TemporaryFile(prefix="acc-columns-") as copy:
        shutil.copyfileobj(file, copy, _COPY_BYTES)  # to its end, where an archive checks what it gave
        if copy.tell() < size:
            raise ValueError(f"it ends {size - copy.tell():,} bytes too early")
        copy.flush()
        yield copy, 0


def _rows(file: IO[bytes], header: Header, offset: int, start: int, count: int) -> NDArray[Any]:
    """Return rows ``start`` and on of an array that lies in a file of the disk from ``offset`` on."""
    each, handle = header.dtype.itemsize, file.fileno()
    if header.order == "C" or len(header.shape) == 1:
        size = header.size // header.shape[0]
        return _block(_read(handle, count * size, offset + start * size), header, count)
    columns = math.prod(header.shape[1:])
    data = bytearray(columns * count * each)
    for column in range(columns):
        piece = _read(handle, count * each, offset + (column * header.shape[0] + start) * each)
        data[column * count * each : (column + 1) * count * each] = piece
    block = np.frombuffer(data, header.dtype).reshape((count, *header.shape[1:]), order="F")
    return np.ascontiguousarray(block, header.native)


def _block(data: bytes | bytearray, header: Header, count: int) -> NDArray[Any]:
    return (
        np.frombuffer(data, header.dtype).reshape(count, *header.shape[1:]).astype(header.native, copy=False)
    )


def _read(handle: int, size: int, offset: int) -> bytes:
    """Return the bytes at a place of a file; raises ValueError where it ends before."""
    data = os.pread(handle, size, offset)
    while len(data) < size:
        more = os.pread(handle, size - len(data), offset + len(data))
        if not more:
            raise ValueError(f"it ends {size - len(data):,} bytes too early")
        data += more
    return data


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

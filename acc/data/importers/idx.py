"""IDX, the format of MNIST (Y. LeCun): big-endian sizes and then the bytes; gzipped or not."""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from acc.data.importers.file_sets import lies_beside
from acc.data.importers.found import Blocks, Lazy
from acc.data.importers.limits import MAX_DATASET_BYTES, check_bytes, refuse
from acc.errors import InvalidInput

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_GZIP_BITS = 31  # of zlib: a gzip header, and the largest window
_PIECE_BYTES = 1 << 20
_MAX_AXES = 8


def named_alike(path: Path) -> Path | None:
    """Return the labels that belong to MNIST-like images by name, if the file exists."""
    name = path.name.replace("images", "labels")
    for kind in ("idx1", "idx2"):  # QMNIST tells more than the label: a table of whole numbers
        for ending in ("ubyte", "int"):
            beside = path.with_name(re.sub(r"idx3[-.]ubyte", f"{kind}-{ending}", name))
            if beside.name != path.name and lies_beside(path, beside):
                return beside
    beside = path.with_name(name.replace("idx3", "idx1"))
    return beside if beside.name != path.name and lies_beside(path, beside) else None


def lazy(path: Path, name: str = "images", *, max_bytes: int = MAX_DATASET_BYTES) -> Lazy:
    """Return the array of an IDX file, read in blocks; raises InvalidInput (file), some of it while it is read."""
    with _opened(path) as file:
        shape, dtype, size = _header(file, path.name, max_bytes)
        packed = isinstance(file, _Unpacked)
    offset = 4 + 4 * len(shape)
    if not packed and path.stat().st_size != offset + size:
        raise _other_size(path.name, shape, size, path.stat().st_size - offset)
    native = dtype.newbyteorder("=")

    def read(rows: int) -> Blocks:
        with _opened(path) as file:
            _header(file, path.name, max_bytes)
            each = size // max(1, shape[0])
            for start in range(0, shape[0], rows):
                count = min(rows, shape[0] - start)
                data = file.read(count * each)
                if len(data) != count * each:
                    raise _other_size(path.name, shape, size, start * each + len(data))
                yield np.frombuffer(data, dtype).reshape(count, *shape[1:]).astype(native, copy=False)
            if file.read(1):
                raise _other_size(path.name, shape, size, size + 1)

    def pick(rows: NDArray[np.int64]) -> NDArray[Any]:
        mapped = np.memmap(path, dtype, "r", offset, shape)
        return np.asarray(mapped[rows], native)

    return Lazy(name, path.name, shape, native, read, pick=None if packed else pick)


def array(path: Path, *, max_bytes: int = MAX_DATASET_BYTES) -> NDArray[Any]:
    """Return the whole array of an IDX file; its size is believed only after it was checked against the bytes."""
    return lazy(path, max_bytes=max_bytes).whole()


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes] | _Unpacked]:
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == _GZIP
            plain.seek(0)
            yield _Unpacked(plain) if packed else plain
    except (EOFError, zlib.error) as error:
        raise refuse(path.name, f"is a damaged gzip file: {error}") from error
    except OSError as error:
        raise refuse(path.name, f"cannot be read: {error.strerror or error}") from error


class _Unpacked:
    """A gzip file unpacked in large pieces into one place: three times as fast as the library's own reader.

    Raises zlib.error for damage, EOFError when it ends too early.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._stream = zlib.decompressobj(wbits=_GZIP_BITS)
        self._packed = b""

    def read(self, size: int, /) -> bytearray:
        """Return ``size`` bytes, or fewer at the end; the last read checks the sums of the streams before it."""
        found = bytearray(size)
        filled = 0
        while filled < size:
            if not self._packed:
                self._packed = self._file.read(_PIECE_BYTES)
            if self._stream.eof:
                self._packed = self._packed.lstrip(b"\0")  # padding
                if not self._packed:
                    break
                self._stream = zlib.decompressobj(wbits=_GZIP_BITS)
            elif not self._packed:
                raise EOFError("it ends before its end is marked")
            piece = self._stream.decompress(self._packed, min(size - filled, _PIECE_BYTES))
            self._packed = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            found[filled : filled + len(piece)] = piece
            filled += len(piece)
        del found[filled:]
        return found


def _header(
    file: IO[bytes] | _Unpacked, name: str, max_bytes: int
) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Return shape and type of the values, and the bytes that they take."""
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in TYPES or not 1 <= head[3] <= _MAX_AXES:
        raise refuse(
            name,
            f"is no IDX file: it begins with {bytes(head).hex(' ') or 'nothing'}; one begins with 00 00 08 03",
        )
    dtype, axes = np.dtype(TYPES[head[2]]), head[3]
    sizes = file.read(4 * axes)
    if len(sizes) < 4 * axes:
        raise refuse(name, "ends within its header")
    shape = struct.unpack(f">{axes}I", sizes)
    size = math.prod(shape) * dtype.itemsize
    check_bytes(name, size, max_bytes)
    return shape, dtype, size


def _other_size(name: str, shape: Sequence[int], size: int, there: int) -> InvalidInput:
    more = "more" if there > size else f"only {there:,}"
    return refuse(
        name, f"says it holds {' x '.join(map(str, shape))} values in {size:,} bytes, but has {more}"
    )

"""Safetensors files: written whole or not at all, read in place, never unpickled. Torch-free."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import mmap as memory
import os
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from acc.errors import InvalidInput

_DTYPES = {
    "U8": np.uint8,
    "I8": np.int8,
    "I16": np.int16,
    "I32": np.int32,
    "I64": np.int64,
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
    "BOOL": np.bool_,
}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_HEADER_LIMIT_BYTES = 100_000_000
_MAX_BUFFERS = 1024  # that one call fills


def write(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> str:
    """Write a safetensors file under a temporary name, fsync, rename; return its SHA-256.

    Tensors are written and hashed where they lie, since the library's own writer first copies them all.
    """
    arrays = [(name, np.ascontiguousarray(tensors[name])) for name in _order(tensors)]
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    temporary = Path(name)
    digest = hashlib.sha256()
    header, _ = _header({name: _layout(array) for name, array in arrays}, metadata)
    parts: list[bytes | memoryview] = [header, *(_bytes(array) for _, array in arrays)]
    try:
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
                digest.update(part)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return digest.hexdigest()


Layout = tuple[np.dtype[Any], tuple[int, ...]]
"""Type and shape of a tensor."""


class Writing:
    """A safetensors file while it is written: what lies where is known, and each tensor comes in blocks."""

    def __init__(self, file: IO[bytes], layouts: Mapping[str, Layout], metadata: Mapping[str, str]) -> None:
        self._file, self._layouts = file, {name: layouts[name] for name in _order(layouts)}
        header, begins = _header(self._layouts, metadata)
        self._header_bytes = len(header)
        self._next = {name: len(header) + begin for name, begin in begins.items()}
        self._end = {name: self._next[name] + _size(layout) for name, layout in self._layouts.items()}
        file.write(header)

    def put(self, name: str, block: NDArray[Any]) -> None:
        """Write the next elements of a tensor."""
        data = _bytes(np.ascontiguousarray(block, self._layouts[name][0]))
        if self._next[name] + len(data) > self._end[name]:
            raise ValueError(f"'{name}' is longer than was said")
        self._file.seek(self._next[name])
        self._file.write(data)
        self._next[name] += len(data)

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write what the header says anew, in the same length; raises ValueError for tensors that are not whole."""
        short = [name for name, end in self._end.items() if self._next[name] != end]
        header, _ = _header(self._layouts, metadata)
        if short or len(header) != self._header_bytes:
            raise ValueError(f"'{short[0]}' is not whole" if short else "the header has another length")
        self._file.seek(0)
        self._file.write(header)


@contextmanager
def writing(path: Path, layouts: Mapping[str, Layout], metadata: Mapping[str, str]) -> Iterator[Writing]:
    """Write a safetensors file in blocks under a temporary name, fsync, rename; nothing is left where that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield Writing(file, layouts, metadata)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _order(tensors: Mapping[str, Any]) -> list[str]:
    """Return the names with wide elements first, so that each tensor begins at a multiple of its element."""

    def itemsize(name: str) -> int:
        each = tensors[name]
        return int((each[0] if isinstance(each, tuple) else each.dtype).itemsize)

    return sorted(tensors, key=lambda name: (-itemsize(name), name))


def _layout(array: NDArray[Any]) -> Layout:
    return array.dtype, array.shape


def _size(layout: Layout) -> int:
    dtype, shape = layout
    return math.prod(shape) * dtype.itemsize


def _header(layouts: Mapping[str, Layout], metadata: Mapping[str, str]) -> tuple[bytes, dict[str, int]]:
    """Return the header of a file, and where its tensors begin after it."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    begins: dict[str, int] = {}
    offset = 0
    for name, layout in layouts.items():
        begins[name] = offset
        offsets = [offset, offset + _size(layout)]
        header[name] = {"dtype": _NAMES[layout[0]], "shape": list(layout[1]), "data_offsets": offsets}
        offset += _size(layout)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, begins


def _bytes(array: NDArray[Any]) -> memoryview:
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return memoryview(little.reshape(-1).view(np.uint8).data)


def read(path: Path, *, mmap: bool = True) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return tensors and metadata; with ``mmap`` the arrays are read-only views of the file.

    Raises InvalidInput (file) for what is not a whole safetensors file. The header is read by hand since the
    library's own reader copies each array.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if mmap and size:
            data: Any = _Mapped(file.fileno(), 0, access=memory.ACCESS_READ)
            data.file, data.path = os.fdopen(os.dup(file.fileno()), "rb"), path
        else:
            data = file.read()
    try:
        (length,) = struct.unpack_from("<Q", data, 0)
        if not 2 <= length <= min(_HEADER_LIMIT_BYTES, size - 8):
            raise ValueError("the header is longer than the file")
        header = json.loads(bytes(data[8 : 8 + length]))
        metadata = dict(header.pop("__metadata__", {}))
        tensors = {name: _array(data, 8 + length, size, entry) for name, entry in header.items()}
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInput({"file": f"'{path.name}' is not a whole safetensors file: {error}"}) from error
    return tensors, metadata


class _Mapped(memory.mmap):
    """A file mapped into memory, which can be read past the mapping as well."""

    file: BinaryIO
    path: Path


def read_rows(array: NDArray[Any], rows: NDArray[np.int64], out: NDArray[Any]) -> None:
    """Copy rows ``(K,)`` of an array ``(N, ...)`` into ``out (K, ...)``; both are C-contiguous and of one type.

    What lies in a file is read from it rather than through its mapping: each byte that is touched there has up to
    2 MiB around it count as this process's memory. Other threads go on meanwhile. Raises OSError, of a file with its
    name, for what can no longer be read.
    """
    mapped = _mapping(array)
    if mapped is None:
        np.take(array, rows, axis=0, out=out, mode="clip")  # which copies straight into ``out``
        return
    begin, size = _address(array) - _address(np.frombuffer(mapped, np.uint8)), array[0].nbytes
    file, places = mapped.file.fileno(), np.argsort(rows, kind="stable")
    ordered = rows[places]
    ends = np.append(np.flatnonzero(np.diff(ordered) != 1), len(rows) - 1) + 1
    ends = np.unique(np.append(ends, np.arange(_MAX_BUFFERS, len(rows), _MAX_BUFFERS)))
    starts = np.append(0, ends[:-1])
    runs = list(zip(starts.tolist(), ends.tolist(), (begin + ordered[starts] * size).tolist(), strict=True))
    if hasattr(os, "posix_fadvise") and len(runs) > 1:
        for first, last, offset in runs:  # so that a disk has all of them to do
            os.posix_fadvise(file, offset, (last - first) * size, os.POSIX_FADV_WILLNEED)
    target = memoryview(out.reshape(-1).view(np.uint8).data)
    to = (places * size).tolist()
    try:
        for first, last, offset in runs:
            views = [target[place : place + size] for place in to[first:last]]
            got = os.preadv(file, views, offset)
            while got < (last - first) * size:  # interrupted, or more than one call may read
                view = views[got // size][got % size :]
                more = os.preadv(file, [view], offset + got)
                if not more:
                    raise OSError(errno.EIO, "it has become shorter")
                got += more
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(mapped.path)) from error


def give_back(array: NDArray[Any]) -> None:
    """Let go of the memory in which a memory-mapped array was read; it is read again when it is needed."""
    mapped = _mapping(array)
    if mapped is not None:
        mapped.madvise(memory.MADV_DONTNEED)


def _mapping(array: NDArray[Any]) -> _Mapped | None:
    """Return the file behind an array that ``read`` has mapped; None for any other."""
    if not hasattr(memory, "MADV_DONTNEED") or not hasattr(os, "preadv"):
        return None
    base: Any = array
    while base is not None and not isinstance(base, _Mapped):
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    return base


def _address(array: NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _array(data: Any, base: int, size: int, entry: Mapping[str, Any]) -> NDArray[Any]:
    dtype = np.dtype(_DTYPES[entry["dtype"]])
    start, stop = entry["data_offsets"]
    shape = tuple(int(side) for side in entry["shape"])
    count = int(np.prod(shape, dtype=np.int64))
    if not 0 <= start <= stop <= size - base or stop - start != count * dtype.itemsize:
        raise ValueError("a tensor lies outside the file")
    return np.frombuffer(data, dtype=dtype, count=count, offset=base + start).reshape(shape)

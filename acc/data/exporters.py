"""Datasets for other programs, in pieces: ``.npz``, ``.pt``, a zip of PNGs with a table, a table. Torch-free.

Nothing is held but a piece of about a megabyte, so a dataset of any size can be sent while it is read.
"""

from __future__ import annotations

import csv
import io
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from acc.data.dataset import IMAGES, PARTS, SPLIT, UNITS, AccDataset
from acc.data.pixels import as_uint8
from acc.errors import InvalidInput
from acc.render.sprites import png

PIECE_BYTES = 1 << 20
ROWS_AT_ONCE = 1_000
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same dataset gives the same file
_TORCH_STORAGES = {"uint8": "ByteStorage", "float32": "FloatStorage", "int64": "LongStorage"}


def export(data: AccDataset, kind: str) -> Iterator[bytes]:
    """Return a dataset as the pieces of a file of ``kind``, one of KINDS; raises InvalidInput (format)."""
    writer = _WRITERS.get(kind)
    if writer is None:
        raise InvalidInput({"format": f"{kind!r} is not a format; choose one of: {', '.join(KINDS)}"})
    return writer(data)


def as_csv(data: AccDataset) -> Iterator[bytes]:
    """Yield the targets as CSV: a row for each image, its file first, then unit and split; classes by their labels."""
    return (text.encode() for text in _table(data))


def as_npz(data: AccDataset) -> Iterator[bytes]:
    """Yield ``.npz`` with ``images (N, C, H, W)``, an array for each target, ``units`` and ``split`` if there are."""
    archive = _Archive()
    for name, array in _arrays(data).items():
        yield from archive.add(f"{name}.npy", _npy(array))
    yield from archive.end()


def as_pt(data: AccDataset) -> Iterator[bytes]:
    """Yield what ``torch.load(file, weights_only=True)`` reads as a dict of tensors, named as in ``.npz``."""
    arrays = _arrays(data)
    archive = _Archive()
    yield from archive.add("dataset/data.pkl", iter([_tensor_dict(arrays)]))
    yield from archive.add("dataset/byteorder", iter([b"little"]))
    for number, array in enumerate(arrays.values()):
        yield from archive.add(f"dataset/data/{number}", _raw(array))
    yield from archive.add("dataset/version", iter([b"3\n"]))
    yield from archive.end()


def as_pngs(data: AccDataset) -> Iterator[bytes]:
    """Yield a zip of ``images/<number>.png`` and ``targets.csv``, which the importer of images takes in again."""
    archive = _Archive()
    yield from archive.add("targets.csv", as_csv(data))
    for start in range(0, len(data), ROWS_AT_ONCE):
        images = as_uint8(np.asarray(data.images[start : start + ROWS_AT_ONCE]))
        for offset, image in enumerate(images):
            pixels = np.ascontiguousarray(np.moveaxis(image, 0, -1))
            yield from archive.add(_file_name(start + offset, len(data)), iter([png(pixels)]))
    yield from archive.end()


_WRITERS: Mapping[str, Callable[[AccDataset], Iterator[bytes]]] = {
    "npz": as_npz,
    "pt": as_pt,
    "zip": as_pngs,
    "csv": as_csv,
}
KINDS = tuple(_WRITERS)
CONTENT_TYPES = {
    "npz": "application/zip",
    "pt": "application/octet-stream",
    "zip": "application/zip",
    "csv": "text/csv; charset=utf-8",
}


def _arrays(data: AccDataset) -> dict[str, NDArray[Any]]:
    return {IMAGES: data.images, **_beside(data), **data.targets}


def _beside(data: AccDataset) -> dict[str, NDArray[Any]]:
    """Return the arrays that tell of rows and are no targets."""
    arrays = {UNITS: data.units, SPLIT: data.split}
    return {name: array for name, array in arrays.items() if array is not None}


def _table(data: AccDataset) -> Iterator[str]:
    labels: dict[str, tuple[str, ...] | None] = {
        name: PARTS if name == SPLIT else None for name in _beside(data)
    }
    labels |= {column.name: column.labels for column in data.target_specs}
    columns_of = _arrays(data)
    yield _line(["file", *labels])
    for start in range(0, len(data), ROWS_AT_ONCE):
        columns = []
        for name in labels:
            values = columns_of[name][start : start + ROWS_AT_ONCE].tolist()
            named = labels[name]
            columns.append([named[value] for value in values] if named else values)
        count = min(ROWS_AT_ONCE, len(data) - start)
        rows = zip(*columns, strict=True) if columns else iter([()] * count)
        yield "".join(_line([_file_name(start + offset, len(data)), *row]) for offset, row in enumerate(rows))


def _line(cells: list[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()


def _file_name(number: int, n: int) -> str:
    return f"images/{number:0{len(str(n - 1))}}.png"


def _npy(array: NDArray[Any]) -> Iterator[bytes]:
    header = io.BytesIO()
    # The same for an array of any layout, since _raw gives its elements row by row.
    described = {
        "descr": npy_format.dtype_to_descr(array.dtype),
        "fortran_order": False,
        "shape": array.shape,
    }
    npy_format.write_array_header_1_0(header, described)
    yield header.getvalue()
    yield from _raw(array)


def _raw(array: NDArray[Any]) -> Iterator[bytes]:
    rows = max(1, PIECE_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield array[start : start + rows].tobytes()


def _tensor_dict(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the pickle of a dict of tensors as torch writes it; nothing is pickled here but names and numbers."""
    out = [b"\x80\x02}"]
    for number, (name, array) in enumerate(arrays.items()):
        storage = _TORCH_STORAGES[str(array.dtype)]
        strides = np.cumprod([1, *array.shape[:0:-1]])[::-1]
        out += [_text(name), b"ctorch._utils\n_rebuild_tensor_v2\n("]
        out += [
            b"(",
            _text("storage"),
            b"ctorch\n",
            storage.encode(),
            b"\n",
            _text(str(number)),
            _text("cpu"),
        ]
        out += [_whole(array.size), b"tQ", _whole(0)]
        out += [_tuple(array.shape), _tuple(strides), b"\x89ccollections\nOrderedDict\n)RtRs"]
    return b"".join([*out, b"."])


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _whole(number: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", number)


def _tuple(numbers: Any) -> bytes:
    return b"(" + b"".join(_whole(int(number)) for number in numbers) + b"t"


class _Archive:
    """A zip archive given away piece by piece; entries are stored, not packed: PNGs are, and arrays hardly can be."""

    def __init__(self) -> None:
        self._pieces = _Pieces()
        self._zip = zipfile.ZipFile(self._pieces, "w", zipfile.ZIP_STORED)

    def add(self, name: str, content: Iterator[bytes]) -> Iterator[bytes]:
        """Yield what an entry adds to the archive."""
        with self._zip.open(zipfile.ZipInfo(name, _EPOCH), "w", force_zip64=True) as entry:
            for piece in content:
                entry.write(piece)
                if self._pieces.size >= PIECE_BYTES:
                    yield self._pieces.take()
        if self._pieces.size >= PIECE_BYTES:
            yield self._pieces.take()

    def end(self) -> Iterator[bytes]:
        self._zip.close()
        yield self._pieces.take()


class _Pieces(io.RawIOBase):
    """A file that can only be written on; what was written is taken away."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        part = bytes(data)
        self._parts.append(part)
        self.size += len(part)
        return len(part)

    def take(self) -> bytes:
        """Return what was written since the last time."""
        parts, self._parts, self.size = self._parts, [], 0
        return b"".join(parts)

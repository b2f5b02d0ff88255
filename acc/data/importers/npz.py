"""NumPy's ``.npz``: arrays by name, each read in blocks from its member. A pickled one is named and passed over."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from acc.data.importers import npy
from acc.data.importers.found import Lazy
from acc.data.importers.limits import MAX_DATASET_BYTES, check_bytes, refuse
from acc.data.importers.mapping import PassedOver
from acc.errors import InvalidInput

MAX_MEMBERS = 10_000
_LOCAL = struct.Struct("<4s5H3L2H")
"""The head of a member in a zip archive, whose last two fields are the lengths of its name and its extra field."""
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    SyntaxError,
    TypeError,
    ValueError,
    RuntimeError,  # an encrypted or an unknown way of packing
)


def arrays(
    path: Path, *, max_bytes: int = MAX_DATASET_BYTES, scratch: Path | None = None
) -> tuple[dict[str, Lazy], list[PassedOver]]:
    """Return the arrays of a ``.npz`` file, and what is passed over; raises InvalidInput (file).

    scratch: where a packed array that is stored column by column is copied to while it is read.
    """
    found: dict[str, Lazy] = {}
    passed_over: list[PassedOver] = []
    with _told(path), zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_MEMBERS:
            raise refuse(path.name, f"holds {len(entries):,} members; at most {MAX_MEMBERS:,} are allowed")
        # What the directory says is checked by zipfile while it unpacks, so a bomb is caught here.
        check_bytes(path.name, sum(entry.file_size for entry in entries), max_bytes)
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            if name == entry.filename:
                passed_over.append(PassedOver(name=name, why="is no array"))
                continue
            try:
                with archive.open(entry) as file:
                    header = npy.read_header(file, entry.file_size, path.name, max_bytes)
                    begins = file.tell()
            except npy.Pickled:
                passed_over.append(
                    PassedOver(name=name, why="holds pickled Python objects, which are never read")
                )
                continue
            if name in found:
                raise refuse(path.name, f"holds two arrays called '{name}'")
            if not header.shape:
                passed_over.append(PassedOver(name=name, why="is one value alone"))
                continue
            pick = None
            if entry.compress_type == zipfile.ZIP_STORED:
                pick = npy.mapped(path, header, _offset(path, entry) + begins)
            found[name] = npy.of_stream(
                name, path.name, header, partial(_member, path, entry.filename), pick, scratch=scratch
            )
    return found, passed_over


def _offset(path: Path, entry: zipfile.ZipInfo) -> int:
    """Return where the bytes of a member that is not packed begin in its archive."""
    with path.open("rb") as file:
        file.seek(entry.header_offset)
        head = file.read(_LOCAL.size)
    *_, name, extra = _LOCAL.unpack(head)
    return int(entry.header_offset + _LOCAL.size + name + extra)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except InvalidInput:
        raise
    except _DAMAGED as error:
        raise refuse(path.name, f"is not a whole .npz file: {error}") from error
    except OSError as error:
        raise refuse(path.name, f"cannot be read: {error.strerror or error}") from error


@contextmanager
def _member(path: Path, name: str) -> Iterator[IO[bytes]]:
    with _told(path), zipfile.ZipFile(path) as archive, archive.open(name) as file:
        yield file

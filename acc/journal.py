"""The layout of a run's journal, the same in the file beside a loop and in what is sent to a site. Torch-free.

A journal is records, one after another: ``b"ACJ1"``, the lengths of header and values (uint32 LE each), the header
(UTF-8 JSON), the values, and 32 bytes: the SHA-256 of the record before it (zeros before the first) and of this one up
to there. So a record is known by its number and its digest, what is cut or changed shows, and sending twice is seen.

The first record says ``begin``; the others are ``points``, ``checkpoint``, ``alarm`` and ``end``. The values of
``points`` are int64 LE steps, then float32 LE values, one series after another.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from acc.errors import AccError

MAGIC = b"ACJ1"
SUFFIX = ".accrun"
FORMAT = 1
START = bytes(32)
"""What stands for the digest of the record before the first."""
_HEAD = struct.Struct("<4sII")
DIGEST = 32
MOST_HEADER, MOST_VALUES = 2**20, 2**21
MOST_STEP = 10**12
MOST_SERIES = 512
MOST_NAME = 64
MOST_WALL = 1e11
SAYS = ("begin", "points", "checkpoint", "alarm", "end")
ENDS = ("SUCCEEDED", "FAILED", "CANCELLED")


class DamagedJournal(AccError):
    """Bytes that are no journal, or no longer what was written; the text says where."""


@dataclass(frozen=True)
class Record:
    """One record: what it says, its values as they lie, its digest, and all of it as bytes."""

    header: dict[str, Any]
    values: bytes
    digest: bytes
    data: bytes

    @property
    def says(self) -> str:
        return str(self.header["say"])

    @property
    def size(self) -> int:
        return len(self.data)


@dataclass(frozen=True)
class Points:
    """Values of several series at the same steps, in the order in which they were logged.

    steps: int64 ``(count,)``, from 0, in any order and any distance. values: float32 ``(series, count)``.
    wall: seconds since the epoch of the first and the last, the second not before the first.
    """

    series: tuple[str, ...]
    steps: NDArray[np.int64]
    values: NDArray[np.float32]
    wall: tuple[float, float]


def encode(header: dict[str, Any], values: bytes = b"", before: bytes = START) -> tuple[bytes, bytes]:
    """Return a record as bytes, and its digest; ``before``: the digest of the record that it follows."""
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    if len(text) > MOST_HEADER or len(values) > MOST_VALUES:
        raise ValueError(
            f"a record of {len(text):,} bytes of header and {len(values):,} of values is too large; "
            f"they may have {MOST_HEADER:,} and {MOST_VALUES:,}"
        )
    record = _HEAD.pack(MAGIC, len(text), len(values)) + text + values
    digest = hashlib.sha256(before + record).digest()
    return record + digest, digest


def read(file: IO[bytes], before: bytes | None = START) -> Iterator[Record]:
    """Yield the whole records from where ``file`` stands; a last one that is cut off is left out, as after a kill.

    before: the digest that the first of them follows; None: not known, so that of the first is taken as it is. Raises
    DamagedJournal for anything else that is not as it was written.
    """
    place = 0
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        magic, header_size, values_size = _HEAD.unpack(head)
        if magic != MAGIC or header_size > MOST_HEADER or values_size > MOST_VALUES:
            raise DamagedJournal(f"there is no record of a journal {place} bytes on")
        rest = file.read(header_size + values_size + DIGEST)
        if len(rest) < header_size + values_size + DIGEST:
            return
        data, digest = head + rest, rest[-DIGEST:]
        if before is not None and hashlib.sha256(before + data[:-DIGEST]).digest() != digest:
            raise DamagedJournal(f"the record {place} bytes on is not what was written")
        try:
            header = json.loads(rest[:header_size])
        except (ValueError, RecursionError):
            header = None
        if not isinstance(header, dict) or header.get("say") not in SAYS:
            raise DamagedJournal(f"the record {place} bytes on says nothing that a journal says")
        yield Record(header, rest[header_size:-DIGEST], digest, data)
        place, before = place + len(data), digest


def points(
    series: Sequence[str], steps: Sequence[int], values: Any, wall: tuple[float, float]
) -> tuple[Any, bytes]:
    """Return header and values of a record of points; ``values``: ``(series, count)``."""
    header = {"say": "points", "series": list(series), "count": len(steps), "wall": list(wall)}
    # A number beyond float32 becomes infinite, as every loss of ACC does.
    with np.errstate(over="ignore"):
        columns = np.asarray(values, dtype=np.float64).astype("<f4")
    return header, np.asarray(steps, dtype="<i8").tobytes() + columns.tobytes()


def points_of(record: Record) -> Points:
    """Return the points of a record; raises DamagedJournal when they are not as they should be."""
    header, count = record.header, record.header.get("count")
    series, wall = header.get("series"), header.get("wall")
    if (
        not isinstance(series, list)
        or not 1 <= len(series) <= MOST_SERIES
        or len(set(map(str, series))) != len(series)
    ):
        raise DamagedJournal(f"points name no series, one twice, or more than {MOST_SERIES}")
    for name in series:
        if why := name_fault(name):
            raise DamagedJournal(why)
    if type(count) is not int or count < 1 or len(record.values) != count * (8 + 4 * len(series)):
        raise DamagedJournal(
            f"points of {len(series)} series say count {count!r} and hold {len(record.values)} bytes"
        )
    steps = np.frombuffer(record.values, "<i8", count)
    if steps.min() < 0 or steps.max() > MOST_STEP:
        raise DamagedJournal(
            f"a step is {int(steps.min())} or {int(steps.max())}; steps are from 0 to {MOST_STEP:,}"
        )
    if (
        not isinstance(wall, list)
        or len(wall) != 2
        or not all(isinstance(at, int | float) and 0 <= at < MOST_WALL for at in wall)
    ):
        raise DamagedJournal(f"points were made at {wall!r}; two times in seconds since the epoch are needed")
    values = np.frombuffer(record.values, "<f4", offset=8 * count).reshape(len(series), count)
    return Points(tuple(series), steps, values, (float(wall[0]), max(float(wall[0]), float(wall[1]))))


def name_fault(name: Any) -> str:
    """Return a sentence about a series name that cannot be, '' for one that can."""
    if not isinstance(name, str) or not 1 <= len(name) <= MOST_NAME:
        return f"{name!r} is not the name of a series: it has 1 to {MOST_NAME} characters"
    if not name.isprintable() or "," in name or name != name.strip():
        return f"{name!r} is not the name of a series: no comma, no space at an end, nothing that cannot be printed"
    return ""

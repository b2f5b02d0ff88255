"""What an opened source holds: arrays that are read in blocks of rows, and columns with a value for each image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.data.importers.limits import refuse
from acc.data.importers.mapping import (
    ColumnKind,
    FolderFound,
    GridFactor,
    PassedOver,
    Question,
    SizeFound,
    key_of,
)
from acc.specs import TargetSpec

BLOCK_BYTES = 1 << 22
"""An array is read in about so many bytes at once."""
SAMPLE_BYTES = 1 << 26
"""So much of an array is looked at; a smaller one whole."""
SAMPLES = 64
"""Of places in an array that can be read from anywhere."""
Blocks = Iterator[NDArray[Any]]


@dataclass(frozen=True)
class Lazy:
    """An array of a source, which nothing has read yet.

    read: takes a number of rows and yields the array in blocks of at most as many, from its first row on; every call
    reads anew. Blocks may differ in the axes after the first only where pictures of several sizes lie in files.
    pick: the rows of some numbers in rising order, where they can be had without those before them.
    row: what a row is called in a sentence. ragged: pictures in files, whose sizes are known once they are read.
    """

    name: str
    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[int], Blocks]
    pick: Callable[[NDArray[np.int64]], NDArray[Any]] | None = None
    row: Callable[[int], str] | None = None
    ragged: bool = False

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def rows_at_once(self) -> int:
        """How many rows make a block."""
        return max(1, BLOCK_BYTES // max(1, math.prod(self.shape[1:]) * self.dtype.itemsize))

    def blocks(self) -> Blocks:
        """Yield the array in blocks of rows."""
        return self.read(self.rows_at_once)

    def whole(self) -> NDArray[Any]:
        """Return all of it; for columns, and for what is known to be small."""
        parts = list(self.blocks())
        return np.concatenate(parts) if parts else np.empty(self.shape, self.dtype)

    def sample(self) -> tuple[Sequence[NDArray[Any]], bool]:
        """Return some of its rows, spread over it where that is cheap, and whether they are not all."""
        if self.nbytes <= SAMPLE_BYTES:
            return list(self.blocks()), False
        if self.pick is not None:
            rows = max(1, min(self.rows_at_once, SAMPLE_BYTES // SAMPLES // max(1, self.nbytes // len(self))))
            starts = np.unique(np.linspace(0, len(self) - rows, SAMPLES).astype(np.int64))
            return [self.pick(np.arange(start, start + rows)) for start in starts], True
        found: list[NDArray[Any]] = []
        size = 0
        for block in self.blocks():
            found.append(block)
            size += block.nbytes
            if size >= SAMPLE_BYTES:
                break
        return found, True

    def rows(self, numbers: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
        """Yield the rows of some numbers, which rise, in blocks of at least one row."""
        if self.pick is not None and len(numbers) <= SAMPLES:
            for number in numbers:
                yield self.pick(np.array([number]))
            return
        start = 0
        last = int(numbers[-1]) if len(numbers) else -1
        for block in self.blocks():
            if start > last:
                return
            low, high = np.searchsorted(numbers, [start, start + len(block)])
            if high - low == len(block):
                yield block
            elif high > low:
                yield block[numbers[low:high] - start]
            start += len(block)

    def named(self, number: int) -> str:
        """Return what a row is called in a sentence."""
        return self.row(number) if self.row is not None else f"image {number}"

    def renamed(self, name: str) -> Lazy:
        return replace(self, name=name)


def of_array(name: str, array: NDArray[Any], where: str) -> Lazy:
    """Return an array that is in memory, or mapped from a file."""

    def read(rows: int) -> Blocks:
        for start in range(0, len(array), rows):
            yield np.asarray(array[start : start + rows])

    return Lazy(name, where, array.shape, array.dtype, read, pick=lambda rows: np.asarray(array[rows]))


def changed(
    lazy: Lazy, shape: Sequence[int], change: Callable[[NDArray[Any]], NDArray[Any]], *, name: str = ""
) -> Lazy:
    """Return a view of an array whose rows are ``change`` of its blocks of rows; ``shape`` is that of one."""
    pick = lazy.pick
    return replace(
        lazy,
        name=name or lazy.name,
        shape=(len(lazy), *shape),
        read=lambda rows: (change(block) for block in lazy.read(rows)),
        pick=None if pick is None else lambda rows: change(pick(rows)),
    )


def joined(parts: Sequence[Lazy], name: str = "") -> Lazy:
    """Return arrays of one shape and type one after the other; raises InvalidInput (file) for others."""
    first = parts[0]
    if len(parts) == 1:
        return first.renamed(name or first.name)
    for each in parts[1:]:
        if (each.shape[1:], each.dtype) != (first.shape[1:], first.dtype):
            raise refuse(
                each.where,
                f"has {_like(each)}, and '{first.where}' has {_like(first)}; files that belong together are alike",
            )
    starts = np.cumsum([0, *map(len, parts)])

    def read(rows: int) -> Blocks:
        for part in parts:
            yield from part.read(rows)

    def pick(rows: NDArray[np.int64]) -> NDArray[Any]:
        at = np.searchsorted(starts, rows, side="right") - 1
        found = []
        for place in np.unique(at):
            take = parts[place].pick
            assert take is not None
            found.append(take(rows[at == place] - starts[place]))
        return np.concatenate(found)

    def row(number: int) -> str:
        place = int(np.searchsorted(starts, number, side="right")) - 1
        return parts[place].named(number - int(starts[place]))

    return Lazy(
        name or first.name,
        f"{first.where} and {len(parts) - 1} more",
        (int(starts[-1]), *first.shape[1:]),
        first.dtype,
        read,
        pick=pick if all(part.pick is not None for part in parts) else None,
        row=row if first.row is not None else None,
        ragged=any(part.ragged for part in parts),
    )


def _like(lazy: Lazy) -> str:
    return f"{lazy.dtype} of {' x '.join(map(str, lazy.shape[1:])) or 'one value'}"


@dataclass
class Column:
    """A value for each image: whole numbers, real ones, truth values, or text. ``where``: the file that tells them.

    labels: names of the classes that whole numbers stand for. spec: how a dataset of ACC describes it. name: what it
    is best called; kind, unit, period: where a layout knows them.
    """

    source: str
    index: int | None
    values: NDArray[Any]
    where: str
    name: str = ""
    labels: tuple[str, ...] | None = None
    kind: ColumnKind | None = None
    why: str = ""
    unit: str = ""
    period: float | None = None
    spec: TargetSpec | None = None

    @property
    def key(self) -> str:
        return key_of(self.source, self.index)

    @property
    def called(self) -> str:
        if self.name:
            return self.name
        return self.source if self.index is None else f"{self.source} {self.index}"


@dataclass
class Opened:
    """A source that is open: see ``mapping.Source``, which tells of it."""

    file: str
    format: str
    arrays: dict[str, Lazy] = field(default_factory=dict)
    columns: list[Column] = field(default_factory=list)
    labels: str = ""
    layout: str = ""
    table: str = ""
    folders: tuple[FolderFound, ...] = ()
    sizes: tuple[SizeFound, ...] = ()
    modes: tuple[str, ...] = ()
    passed_over: list[PassedOver] = field(default_factory=list)
    grid: tuple[GridFactor, ...] = ()
    transposed: bool = False
    notes: list[str] = field(default_factory=list)
    undecided: list[Question] = field(default_factory=list)

    def column(self, key: str) -> Column | None:
        return next((column for column in self.columns if column.key == key), None)

    def leave(self, key: str, words: str) -> None:
        """Say that something is read only once it is said to be left out."""
        self.undecided.append(
            Question(field="left_out", words=f"{words}; or leave '{key}' out", choices=(key,), needed=True)
        )

    def refuse_columns(self, refused: Mapping[str, str]) -> None:
        """Pass over columns that cannot be read, which is to be agreed to; ``refused``: why, by their names."""
        for name, why in refused.items():
            self.passed_over.append(PassedOver(name=name, why=why))
            self.leave(name, why)

    def add(self, source: str, values: NDArray[Any], where: str, **known: Any) -> Column:
        """Add a column, or one for each of an array ``(N, K)``, and return the last."""
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim == 1:
            self.columns.append(Column(source, None, values, where, **known))
        for place in range(values.shape[1] if values.ndim == 2 else 0):
            self.columns.append(Column(source, place, values[:, place], where, **known))
        return self.columns[-1]


def grid_columns(factors: Sequence[GridFactor]) -> dict[str, NDArray[np.int64]]:
    """Return the value of each factor at each place of a grid, the last factor the fastest."""
    sizes = [factor.size for factor in factors]
    total = math.prod(sizes)
    found: dict[str, NDArray[np.int64]] = {}
    slower = 1
    for factor in factors:
        slower *= factor.size
        found[factor.name] = np.arange(total) // (total // slower) % factor.size
    return found

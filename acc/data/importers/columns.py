"""Targets from a table: a CSV file with a header, whose columns are numbers or the names of classes."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.data.dataset import UNITS
from acc.data.importers.limits import refuse

MAX_LABELS = 1_000
MAX_TABLE_BYTES = 2**30
FILE_NAMES = ("file", "filename", "file_name", "image", "path", "name")


@dataclass
class Columns:
    """Target columns ``(N,)``, and the labels of those that were text; ``files``: the image of each row, if told."""

    values: dict[str, NDArray[Any]] = field(default_factory=dict)
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    files: list[str] | None = None


def read(data: bytes, name: str, *, by_file: bool) -> Columns:
    """Return the columns of a CSV file; ``by_file``: one column, ``file`` or the first, names the image of each row.

    Raises InvalidInput (file) naming row and column.
    """
    if len(data) > MAX_TABLE_BYTES:
        raise refuse(name, f"is a table of {len(data):,} bytes; at most {MAX_TABLE_BYTES:,} are allowed")
    try:
        rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    except UnicodeDecodeError as error:
        raise refuse(name, f"is not a CSV file in UTF-8: {error.reason} at byte {error.start}") from error
    except csv.Error as error:
        raise refuse(name, f"is not a CSV file: {error}") from error
    rows = [row for row in rows if row]
    if len(rows) < 2:
        raise refuse(name, "holds no row below its header; one for each image is needed")
    head = [cell.strip() for cell in rows[0]]
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(head):
            raise refuse(name, f"has {len(row)} cells in row {number} and {len(head)} in its header")
    if len(set(head)) != len(head):
        raise refuse(name, f"has two columns of one name; its header is {', '.join(head)}")
    found = Columns()
    cells = dict(zip(head, zip(*rows[1:], strict=True), strict=True))
    if by_file:
        key = next((each for each in head if each.lower() in FILE_NAMES), head[0])
        found.files = [cell.strip() for cell in cells.pop(key)]
    for column, texts in cells.items():
        if column == UNITS:
            found.values[column] = unit_numbers(texts, name)
            continue
        found.values[column], labels = column_of(texts, column, name)
        if labels is not None:
            found.labels[column] = labels
    return found


def unit_numbers(texts: Sequence[str], name: str) -> NDArray[np.int64]:
    """Return which unit each row belongs to: whole numbers as they are, other names numbered in natural order."""
    stripped = [text.strip() for text in texts]
    if "" in stripped:
        raise refuse(
            name, f"has nothing in column '{UNITS}' of row {stripped.index('') + 2}; give every image a unit"
        )
    try:
        return np.array([int(text) for text in stripped], dtype=np.int64)
    except (ValueError, OverflowError):
        number = {text: place for place, text in enumerate(sorted(set(stripped), key=natural))}
        return np.array([number[text] for text in stripped], dtype=np.int64)


def column_of(texts: Sequence[str], column: str, name: str) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Return a column as whole numbers, as real ones, or as classes with the labels that number them."""
    try:
        return np.array([int(text) for text in texts], dtype=np.int64), None
    except (ValueError, OverflowError):
        pass
    try:
        return np.array([float(text) for text in texts], dtype=np.float64), None
    except ValueError:
        pass
    return classes_of(texts, column, name)


def classes_of(texts: Sequence[str], column: str, name: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return texts as classes, numbered in the natural order of the labels, and the labels."""
    stripped = [text.strip() for text in texts]
    if "" in stripped:
        raise refuse(
            name,
            f"has nothing in column '{column}' of row {stripped.index('') + 2}; give every image a value",
        )
    labels = tuple(sorted(set(stripped), key=natural))
    if len(labels) > MAX_LABELS:
        raise refuse(
            name,
            f"has {len(labels):,} different texts in column '{column}'; classes may be {MAX_LABELS:,} at most",
        )
    number = {label: place for place, label in enumerate(labels)}
    return np.array([number[text] for text in stripped], dtype=np.int64), labels


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a sort key by which 2 comes before 10, and ``2.png`` before ``10.png``."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part) for part in parts]


def of_images(columns: Columns, files: Sequence[str], name: str) -> Mapping[str, NDArray[Any]]:
    """Return the columns in the order of ``files``; raises InvalidInput (file) unless each has exactly one row.

    A row may name the whole path of its image, or its file name where no two images share it.
    """
    assert columns.files is not None
    known = {file: place for place, file in enumerate(files)}
    tails: dict[str, int | None] = {}
    for place, file in enumerate(files):
        tail = file.rsplit("/", 1)[-1]
        tails[tail] = None if tail in tails else place
    order = np.full(len(files), -1, dtype=np.int64)
    for row, file in enumerate(columns.files):
        found = known.get(file, tails.get(file))
        if found is None:
            raise refuse(
                name, f"tells of '{file}' in row {row + 2}, and there is no such image, or more than one"
            )
        if order[found] >= 0:
            raise refuse(name, f"has two rows for '{files[found]}': {order[found] + 2} and {row + 2}")
        order[found] = row
    missing = np.flatnonzero(order < 0)
    if len(missing):
        raise refuse(
            name,
            f"has {len(columns.files):,} rows for {len(files):,} images; '{files[missing[0]]}' has none",
        )
    return {column: values[order] for column, values in columns.values.items()}

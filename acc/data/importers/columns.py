"""Targets from a table: a CSV file with a header, whose columns are numbers or the names of classes."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.data.dataset import UNITS
from acc.data.importers.limits import refuse
from acc.errors import InvalidInput

MAX_LABELS = 1_000
MAX_TABLE_BYTES = 2**30
ENDINGS = {".csv", ".tsv", ".txt"}
DELIMITERS = (",", ";", "\t")
SAMPLE_ROWS = 300
"""So many of a table's first rows tell by what its cells are divided; all of it is divided once, by that."""
NO_NAME = "index"
_COMMA = re.compile(r"[-+]?\d+(,\d+)*")
FILE_NAMES = ("image_id", "file", "filename", "file_name", "image", "path", "name")


@dataclass
class Columns:
    """Target columns ``(N,)``, and the labels of those that were text; ``files``: the image of each row, if told.

    lines: the number of each row in its file. refused: columns that cannot be read, and the sentence that says why.
    """

    values: dict[str, NDArray[Any]] = field(default_factory=dict)
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    files: list[str] | None = None
    lines: list[int] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def read(data: bytes, name: str, *, by_file: bool) -> Columns:
    """Return the columns of a CSV file; ``by_file``: one column, ``file`` or the first, names the image of each row.

    A column that cannot be read is told of in ``refused``. Raises InvalidInput (file) for what is no table.
    """
    if len(data) > MAX_TABLE_BYTES:
        raise refuse(name, f"is a table of {len(data):,} bytes; at most {MAX_TABLE_BYTES:,} are allowed")
    text = _decoded(data, name)
    try:
        numbered = _rows(text)
    except csv.Error as error:
        raise refuse(name, f"is not a CSV file: {error}") from error
    if len(numbered) < 2:
        raise refuse(name, "holds no row below its header; one for each image is needed")
    rows = [row for _, row in numbered]
    head = [cell.strip() for cell in rows[0]]
    if "" in head and NO_NAME not in head:  # as tables of pandas begin
        head[head.index("")] = NO_NAME
    for number, row in numbered[1:]:
        if len(row) != len(head):
            raise refuse(name, f"has {len(row)} cells in row {number} and {len(head)} in its header")
    if len(set(head)) != len(head):
        raise refuse(name, f"has two columns of one name; its header is {', '.join(head)}")
    found = Columns(lines=[number for number, _ in numbered[1:]])
    cells = dict(zip(head, zip(*rows[1:], strict=True), strict=True))
    if by_file:
        key = next((each for each in head if each.lower() in FILE_NAMES), head[0])
        found.files = [cell.strip() for cell in cells.pop(key)]
    if "" in cells:
        raise refuse(name, f"has a column without a name; its header is {', '.join(head)}")
    for column, texts in cells.items():
        _take(found, column, texts, name)
    return found


def _take(found: Columns, column: str, texts: Sequence[str], name: str) -> None:
    if column == UNITS:
        found.values[column] = unit_numbers(texts, name)
        return
    try:
        found.values[column], labels = column_of(texts, column, name, lines=found.lines)
    except InvalidInput as error:
        found.refused[column] = error.fields["file"][0]
        return
    if labels is not None:
        found.labels[column] = labels


def is_table(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in ENDINGS - {".txt"}


def listed(data: bytes, name: str) -> Columns:
    """Return the columns of a list as CelebA has it: a table, or words between blanks, the image first.

    The lines before the first image may be the count of images and the names of the columns. Raises InvalidInput.
    """
    if is_table(name):
        return read(data, name, by_file=True)
    lines = [line.split() for line in _decoded(data, name).splitlines()]
    numbered = [(number, words) for number, words in enumerate(lines, start=1) if words]
    if numbered and len(numbered[0][1]) == 1 and numbered[0][1][0].isdecimal():
        del numbered[0]
    if len(numbered) > 1 and len(numbered[1][1]) == len(numbered[0][1]) + 1:
        head = numbered.pop(0)[1]
    else:
        head = [f"column_{place}" for place in range(1, len(numbered[0][1]))] if numbered else []
    if not numbered or not head:
        raise refuse(name, "tells nothing of any image")
    found = Columns(files=[], lines=[number for number, _ in numbered])
    assert found.files is not None
    table = np.empty((len(numbered), len(head)), dtype=np.int64)
    for place, (number, words) in enumerate(numbered):
        if len(words) != len(head) + 1:
            raise refuse(
                name, f"has {len(words)} words in row {number}; need an image and {len(head)} values"
            )
        found.files.append(words[0])
        try:
            table[place] = [_whole_number(word) for word in words[1:]]
        except (ValueError, OverflowError):
            raise refuse(name, f"has other than whole numbers in row {number}") from None
    found.values = {column: table[:, place] for place, column in enumerate(head)}
    return found


def _decoded(data: bytes, name: str) -> str:
    try:
        if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse(name, f"is not a CSV file in UTF-8: {error.reason} at byte {error.start}") from error


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Return the rows that hold anything, with their numbers; cells end at a comma, a semicolon or a tab.

    Which of them is told by a first line ``sep=;``, else by the header: the one that divides it into most cells, and
    the rows below into as many.
    """
    first, _, rest = text.partition("\n")
    said = re.fullmatch(r"sep=([,;\t|])\r?", first)
    if said:
        return [(number + 1, row) for number, row in _divided(rest, said[1])]
    samples: dict[str, list[tuple[int, list[str]]]] = {}
    damage: csv.Error | None = None
    for delimiter in DELIMITERS:
        try:
            samples[delimiter] = list(islice(_divided(text, delimiter), SAMPLE_ROWS))
        except csv.Error as error:
            damage = damage or error
    if not samples and damage is not None:
        raise damage
    best = max(samples, key=lambda delimiter: _regularity(samples[delimiter]))
    return list(_divided(text, best))


def _divided(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for number, row in enumerate(reader, start=1):
        if any(cell.strip() for cell in row):
            yield number, row


def _regularity(rows: Sequence[tuple[int, list[str]]]) -> tuple[bool, int, bool]:
    """Return a key by which rows that were rightly divided come last: all as wide as the header, and wide."""
    width = len(rows[0][1]) if rows else 0
    even = all(len(row) == width for _, row in rows)
    return even and width > 1, width, even


def unit_numbers(texts: Sequence[str], name: str) -> NDArray[np.int64]:
    """Return which unit each row belongs to: whole numbers as they are, other names numbered in natural order."""
    stripped = [text.strip() for text in texts]
    if "" in stripped:
        raise refuse(
            name, f"has nothing in column '{UNITS}' of row {stripped.index('') + 2}; give every image a unit"
        )
    try:
        return np.array([_whole_number(text) for text in stripped], dtype=np.int64)
    except (ValueError, OverflowError):
        number = {text: place for place, text in enumerate(sorted(set(stripped), key=natural))}
        return np.array([number[text] for text in stripped], dtype=np.int64)


def _whole_number(text: str) -> int:
    """Return a whole number; raises ValueError for the ``_`` that Python takes between digits: 1_2 is a name."""
    if "_" in text:
        raise ValueError(text)
    return int(text)


def column_of(
    texts: Sequence[str], column: str, name: str, *, lines: Sequence[int] = ()
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Return a column as whole numbers, as real ones, or as classes with the labels that number them.

    A decimal comma is read where it is clear that it is one. Raises InvalidInput (file) for a column that is numbers
    but for a few cells, naming the first of these, and for commas that may part thousands.
    """
    try:
        return np.array([_whole_number(text) for text in texts], dtype=np.int64), None
    except (ValueError, OverflowError):
        pass
    numbers = [_float(text) for text in texts]
    if None in numbers:
        commas = _decimal_commas(texts, column, name)
        numbers = numbers if commas is None else list(commas)
    wrong = [place for place, number in enumerate(numbers) if number is None]
    if not wrong:
        return np.array(numbers, dtype=np.float64), None
    if len(wrong) < len(texts) / 2:
        row = lines[wrong[0]] if lines else wrong[0] + 2
        cell = texts[wrong[0]].strip()
        what = f"{cell!r}" if cell else "nothing"
        raise refuse(
            name, f"has {what} in column '{column}' of row {row}, among numbers; give every image a number"
        )
    return classes_of(texts, column, name, lines=lines)


def _float(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _decimal_commas(texts: Sequence[str], column: str, name: str) -> list[float] | None:
    """Return the numbers that are written with a decimal comma, or None where the texts are none of these."""
    stripped = [text.strip() for text in texts]
    if not all(_COMMA.fullmatch(text) for text in stripped) or not any("," in text for text in stripped):
        return None
    thousands = all(re.fullmatch(r"[-+]?[1-9]\d{0,2}(,\d{3})*", text) for text in stripped)
    if thousands:
        shown = next(text for text in stripped if "," in text)
        raise refuse(
            name,
            f"has '{shown}' in column '{column}', whose comma may part thousands or decimals; write a point",
        )
    return [float(text.replace(",", ".")) for text in stripped]


def classes_of(
    texts: Sequence[str], column: str, name: str, *, lines: Sequence[int] = ()
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return texts as classes, numbered in the natural order of the labels, and the labels."""
    stripped = [text.strip() for text in texts]
    if "" in stripped:
        raise refuse(
            name,
            f"has nothing in column '{column}' of row {lines[stripped.index('')] if lines else stripped.index('') + 2}"
            "; give every image a value",
        )
    labels = tuple(sorted(set(stripped), key=natural))
    damaged = next((label for label in labels if "\0" in label), None)
    if damaged is not None:
        raise refuse(name, f"has {damaged[:60]!r} in column '{column}', which is no text")
    if len(labels) > MAX_LABELS and len(labels) < len(texts):  # texts that all differ name their rows
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


def of_images(
    columns: Columns, files: Sequence[str], name: str, *, others: bool = False
) -> Mapping[str, NDArray[Any]]:
    """Return the columns in the order of ``files``; raises InvalidInput (file) unless each has exactly one row.

    A row may name the whole path of its image, or its file name where no two images share it. others: rows of images
    that are not there are passed over.
    """
    assert columns.files is not None
    known = {file: place for place, file in enumerate(files)}
    tails: dict[str, int | None] = {}
    for place, file in enumerate(files):
        tail = file.rsplit("/", 1)[-1]
        tails[tail] = None if tail in tails else place
    order = np.full(len(files), -1, dtype=np.int64)
    line = columns.lines or range(2, len(columns.files) + 2)
    for row, file in enumerate(columns.files):
        found = known.get(file, tails.get(file))
        if found is None and others and file not in tails:
            continue
        if found is None:
            raise refuse(
                name, f"tells of '{file}' in row {line[row]}, and there is no such image, or more than one"
            )
        if order[found] >= 0:
            raise refuse(name, f"has two rows for '{files[found]}': {line[order[found]]} and {line[row]}")
        order[found] = row
    missing = np.flatnonzero(order < 0)
    if len(missing):
        raise refuse(
            name,
            f"has {len(columns.files):,} rows for {len(files):,} images; '{files[missing[0]]}' has none",
        )
    return {column: values[order] for column, values in columns.values.items()}

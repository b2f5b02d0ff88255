"""Parquet tables as hubs of datasets have them: a column of pictures as bytes, and columns of a value for each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.data.importers.columns import MAX_LABELS
from acc.data.importers.file_sets import MAX_FILES
from acc.data.importers.found import Lazy
from acc.data.importers.limits import check_bytes, refuse
from acc.data.importers.mapping import Background, PassedOver, SizeFound
from acc.data.importers.optional import library
from acc.data.importers.pictures import Pictures
from acc.errors import InvalidInput

MAGIC = b"PAR1"
ROWS_AT_ONCE = 64


class Tables:
    """The tables of one or more parquet files of the same columns, one after the other.

    pictures: the names of the columns of pictures; columns: values of the others, text among them; labels: the names
    of classes that the schema tells. Raises InvalidInput (file).
    """

    def __init__(self, paths: Sequence[Path], file: str, *, max_bytes: int) -> None:
        self.paths, self.file = list(paths), file
        self.pq = library("pyarrow.parquet", file, "a parquet table")
        self.counts: list[int] = []
        self.passed_over: list[PassedOver] = []
        self.columns: dict[str, NDArray[Any]] = {}
        self.pictures: list[str] = []
        total = 0
        schemas = []
        for path in self.paths:
            with self._told(path):
                opened = self.pq.ParquetFile(path)
                with opened:
                    meta = opened.metadata
                    total += sum(
                        meta.row_group(group).total_byte_size for group in range(meta.num_row_groups)
                    )
                    self.counts.append(meta.num_rows)
                    schemas.append(opened.schema_arrow)
            check_bytes(file, total, max_bytes)
            if sum(self.counts) > MAX_FILES:  # rows that are all alike take no bytes at all
                raise refuse(file, f"holds {sum(self.counts):,} rows; at most {MAX_FILES:,} are allowed")
        for path, schema in zip(self.paths, schemas, strict=True):
            if schema.names != schemas[0].names:
                raise refuse(
                    path.name,
                    f"has the columns {', '.join(schema.names[:20])}, and '{self.paths[0].name}' "
                    f"{', '.join(schemas[0].names[:20])}; tables that belong together are alike",
                )
        self._divide(schemas[0])
        self.labels = _labels(schemas[0])

    def lazy(self, name: str, background: Background) -> tuple[Lazy, tuple[SizeFound, ...], tuple[str, ...]]:
        """Return a column of pictures, read in the order of its rows."""
        rows = _Rows(self, name)
        pictures = Pictures(sum(self.counts), rows.content, rows.name, self.file, background)
        return pictures.lazy(name, self.file)

    def batches(self, name: str, first: int) -> Iterator[tuple[int, Any]]:
        """Yield batches of one column with the number of their first row, from the group that holds row ``first``."""
        start = 0
        for path, count in zip(self.paths, self.counts, strict=True):
            if first >= start + count:
                start += count
                continue
            with self._told(path), self.pq.ParquetFile(path) as opened:
                for group in range(opened.metadata.num_row_groups):
                    rows = opened.metadata.row_group(group).num_rows
                    if first >= start + rows:
                        start += rows
                        continue
                    for batch in opened.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=[name]):
                        yield start, batch.column(0)
                        start += len(batch)

    def picture(self, value: Any, name: str) -> tuple[str, bytes]:
        """Return the name and the bytes of a picture; raises InvalidInput (file) where there are none."""
        if isinstance(value, dict):
            name = str(value.get("path") or name)
            value = value.get("bytes")
        if not isinstance(value, bytes):
            raise refuse(
                self.file, f"has no bytes of a picture in {name}; only pictures within the table are read"
            )
        return name, value

    def _divide(self, schema: Any) -> None:
        """Tell columns of pictures from columns of values, and read the latter."""
        pa = library("pyarrow", self.file, "a parquet table")
        kinds = pa.types
        simple: list[str] = []
        for field in schema:
            struct = kinds.is_struct(field.type) and any(each.name == "bytes" for each in field.type)
            if struct or kinds.is_binary(field.type) or kinds.is_large_binary(field.type):
                self.pictures.append(field.name)
            elif (
                kinds.is_integer(field.type)
                or kinds.is_floating(field.type)
                or kinds.is_boolean(field.type)
                or kinds.is_string(field.type)
                or kinds.is_large_string(field.type)
                or (kinds.is_dictionary(field.type) and kinds.is_string(field.type.value_type))
            ):
                simple.append(field.name)
            else:
                self.passed_over.append(PassedOver(name=field.name, why=f"is of type {field.type}"))
        for name in simple:
            parts = []
            for path in self.paths:
                with self._told(path):
                    parts.append(self.pq.read_table(path, columns=[name], memory_map=False).column(0))
            self._take(
                name, pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)
            )

    def _take(self, name: str, values: Any) -> None:
        if values.null_count:
            self.passed_over.append(PassedOver(name=name, why=f"has no value in {values.null_count:,} rows"))
            return
        if "str" not in str(values.type):
            self.columns[name] = values.to_numpy()
        elif len(values.unique()) > MAX_LABELS:  # before each is made a text of its own: captions are long
            self.passed_over.append(PassedOver(name=name, why="has too many different texts for classes"))
        else:
            self.columns[name] = np.array(values.to_pylist(), dtype=np.object_)

    @contextmanager
    def _told(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (InvalidInput, GeneratorExit):
            raise
        except Exception as error:  # pyarrow raises what it likes for what is damaged
            raise refuse(path.name, f"is not a whole parquet table: {error}") from error


class _Rows:
    """Gives the pictures of a column by their numbers; cheap as long as these rise."""

    def __init__(self, tables: Tables, column: str) -> None:
        self._tables, self._column = tables, column
        self._batches: Iterator[tuple[int, Any]] = iter(())
        self._start, self._values = 0, None

    def name(self, number: int) -> str:
        return f"row {number} of '{self._column}'"

    def content(self, number: int) -> tuple[str, bytes]:
        values: Any = self._values
        if values is None or not self._start <= number < self._start + len(values) + 4 * ROWS_AT_ONCE:
            self._batches = self._tables.batches(self._column, number)
            values = None
        while values is None or number >= self._start + len(values):
            found = next(self._batches, None)
            if found is None:
                raise refuse(self._tables.file, f"ends before row {number}")
            self._start, values = found
        self._values = values
        return self._tables.picture(values[number - self._start].as_py(), self.name(number))


def _labels(schema: Any) -> dict[str, tuple[str, ...]]:
    """Return the names of classes that the metadata of a hub's table tell."""
    try:
        told = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            name: tuple(map(str, feature["names"]))
            for name, feature in told.items()
            if isinstance(feature, dict) and isinstance(feature.get("names"), list)
        }
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}

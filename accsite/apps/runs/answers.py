"""Runs and groups as the API, the command and files tell them: plain values, exact and whole."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from acc.errors import InvalidInput
from accsite.apps.runs import selectors
from accsite.apps.runs.models import Run
from accsite.apps.runs.selectors import Col, Group
from accsite.apps.runs.selectors.table import NO_NUMBERS, Row
from accsite.apps.training import exporting

AT_ONCE = 500
BEGINNING = ("run", "experiment", "branch")


def listed(text: str) -> list[str]:
    """Return the names in a list with commas between them; a name in double quotes may hold one."""
    try:
        found = next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        why = f"{text[:80]!r} is not a list of columns with commas between them: {error}"
        raise InvalidInput({"columns": why}) from None
    return [name.strip() for name in found if name.strip()]


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    return value.isoformat() if isinstance(value, datetime) else value


def run_as_json(row: Row) -> dict[str, Any]:
    """Return a run with its values; columns of which it has none are left out."""
    run = row.run
    return {
        "id": run.pk,
        "experiment": run.experiment.slug,
        "branch": run.branch.slug,
        "branch_id": run.branch_id,
        "state": run.state,
        "values": {name: plain(value) for name, value in row.values.items()},
    }


def group_as_json(group: Group) -> dict[str, Any]:
    """Return a group with its means."""
    return {
        "key": group.key,
        "label": group.label,
        "n": len(group.runs),
        "means": {
            name: {
                "mean": mean.value,
                "n": mean.n,
                "low": None if mean.half is None else mean.value - mean.half,
                "high": None if mean.half is None else mean.value + mean.half,
            }
            for name, mean in group.means.items()
        },
    }


def rows(runs: Any, cols: Sequence[Col]) -> Iterator[Row]:
    """Yield all runs with their values, in their order; few are in memory at once."""
    ids = list(runs.values_list("pk", flat=True))
    for first in range(0, len(ids), AT_ONCE):
        part = ids[first : first + AT_ONCE]
        found = Run.objects.select_related("experiment", "branch", "created_by")
        by_pk = found.defer("experiment__model_spec", "experiment__method").in_bulk(part)
        for row in selectors.rows_of([by_pk[pk] for pk in part if pk in by_pk], cols):
            values = {col.name: row.values.get(col.name) for col in cols}
            yield Row(row.run, values)


def with_names(known: Mapping[str, Col], cols: Sequence[Col]) -> list[Col]:
    """Return the columns of a file: which run it is comes first, whatever was chosen."""
    return list(dict.fromkeys([*(known[name] for name in BEGINNING), *cols]))


def csv_file(runs: Any, cols: Sequence[Col]) -> Iterator[bytes]:
    """Yield a heading and a line a run; a value that there is not is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([safe(col.name) for col in cols])
    for row in rows(runs, cols):
        writer.writerow([_cell(row.values[col.name]) for col in cols])
        if out.tell() > 2**16:
            yield out.getvalue().encode()
            out.seek(0)
            out.truncate()
    yield out.getvalue().encode()


def parquet_file(runs: Any, cols: Sequence[Col]) -> Iterator[bytes]:
    """Yield a table: numbers as float64, times as UTC timestamps, all else as text; null where there is no value."""
    exporting.check("parquet")
    import pyarrow as pa
    from pyarrow import parquet as files

    kinds = {"number": pa.float64(), "time": pa.timestamp("us", tz="UTC")}
    columns: dict[str, list[Any]] = {col.name: [] for col in cols}
    for row in rows(runs, cols):
        for col in cols:
            columns[col.name].append(_typed(col, row.values[col.name]))
    arrays = {col.name: pa.array(columns[col.name], type=kinds.get(col.kind, pa.string())) for col in cols}
    about = json.dumps({"table": "runs"})
    out = io.BytesIO()
    files.write_table(pa.table(arrays).replace_schema_metadata({"acc": about}), out)
    yield out.getvalue()


def _typed(col: Col, value: Any) -> Any:
    if value is None or col.kind == "time":
        return value
    if col.kind != "number":
        return str(value)
    if (
        isinstance(value, str) and value not in NO_NUMBERS
    ):  # a text among numbers has no place in such a column
        return None
    return float(value)


FILES = {
    "csv": (exporting.FORMS["csv"].media_type, csv_file),
    "parquet": (exporting.FORMS["parquet"].media_type, parquet_file),
}


def safe(text: str) -> str:
    """Return a text that no spreadsheet runs as a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@"} else text


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value not in NO_NUMBERS:
        return safe(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return "" if value is None else plain(value)

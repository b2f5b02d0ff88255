"""Loss points as files that other programs read: Parquet, and event files of TensorBoard, by optional packages."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from acc.errors import InvalidInput
from acc.messages import LossHistoryHeader

MISSING = "{what} is written by a package that this server lacks: pip install 'acc[{extra}]'"


def parquet_file(points: tuple[LossHistoryHeader, Any]) -> bytes:
    """Return a Parquet table with the columns ``step`` and ``wall`` (seconds since the epoch) and one a series.

    A step without any value has no line; where a series has none at a step there is null. Raises InvalidInput(format)
    where pyarrow is missing, or for an envelope.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InvalidInput(format=MISSING.format(what="Parquet", extra="data")) from None
    steps, walls, known, columns = _told(points)
    table = {"step": pyarrow.array(steps), "wall": pyarrow.array(walls)}
    for name, values, there in zip(points[0]["series"], columns, known, strict=True):
        table[name] = pyarrow.array(values, mask=~there)
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(table), out)
    return out.getvalue()


def event_file(points: tuple[LossHistoryHeader, Any]) -> bytes:
    """Return an event file of TensorBoard with a scalar for each value; the tags are the names of the series.

    Raises InvalidInput(format) where tensorboard is missing, or for an envelope.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError:
        raise InvalidInput(format=MISSING.format(what="An event file", extra="tensorboard")) from None
    steps, walls, known, columns = _told(points)
    out = io.BytesIO()
    writer = RecordWriter(out)
    first = float(walls[0]) if len(walls) else 0.0
    writer.write(Event(wall_time=first, file_version="brain.Event:2").SerializeToString())
    names = points[0]["series"]
    for at, step in enumerate(steps.tolist()):
        values = [
            Summary.Value(tag=names[row], simple_value=float(columns[row, at]))
            for row in np.flatnonzero(known[:, at])
        ]
        event = Event(wall_time=float(walls[at]), step=step, summary=Summary(value=values))
        writer.write(event.SerializeToString())
    return out.getvalue()


def _told(points: tuple[LossHistoryHeader, Any]) -> tuple[Any, Any, Any, Any]:
    """Return steps, times, which values there are and the values, of the steps that have any."""
    header, columns = points
    if header["kind"] != "raw":
        raise InvalidInput(points="a file holds each step: ask without points, or for a part by from and to")
    steps = np.arange(header["start"], header["stop"])
    known = ~np.isnan(columns)
    kept = known.any(axis=0)
    knots, times = header.get("clock") or ([], [])
    walls = np.interp(steps[kept], knots, times) if len(knots) else np.zeros(int(kept.sum()))
    return steps[kept], walls, known[:, kept], columns[:, kept]

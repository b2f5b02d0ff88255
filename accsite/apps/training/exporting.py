"""A job's losses as files that other tools read: CSV, Parquet, and the event files of TensorBoard.

Beside each: a value that was not measured at a step is empty in CSV, null in Parquet, and absent from events.
"""

from __future__ import annotations

import importlib.util
import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acc.errors import InvalidInput
from acc.messages import LossHistoryHeader

Points = tuple[LossHistoryHeader, NDArray[np.float32]]
STATISTICS = ("min", "max", "mean")
STEPS_IN_A_PIECE = 2_000
"""Steps that are written at once, some 500 KB: a loop of one's own may have told few of very many."""


@dataclass(frozen=True)
class Form:
    """A form of file. ``packages``: what must be installed, ``extra``: what of ACC's extras brings it.

    ``name_of``: the name to save it under. ``pieces``: the file, in parts.
    """

    media_type: str
    packages: tuple[str, ...]
    extra: str
    name_of: Callable[[LossHistoryHeader], str]
    pieces: Callable[[Points], Iterator[bytes]]


def csv(points: Points) -> Iterator[bytes]:
    """Yield the header line and one line a step, or a bucket of an envelope, that has a value."""
    places, columns = _told(points)
    names = _names(points)
    yield (",".join(_quoted(head) for head in (*places, *names)) + "\n").encode()
    for first in range(0, len(next(iter(places.values()))), STEPS_IN_A_PIECE):
        piece = slice(first, first + STEPS_IN_A_PIECE)
        at = list(zip(*(each[piece].tolist() for each in places.values()), strict=True))
        values = columns[:, piece]
        text = np.where(np.isnan(values), "", values.astype("U32")).T.tolist() or [[]] * len(at)
        lines = (",".join([*map(str, place), *row]) + "\n" for place, row in zip(at, text, strict=True))
        yield "".join(lines).encode()


def parquet(points: Points) -> Iterator[bytes]:
    """Yield a table with the step, or first and last step of a bucket, as int64, and a float32 column a series.

    There is a row where any has a value. The file's metadata names the job and the attempt, as JSON under ``acc``.
    """
    import pyarrow as pa
    from pyarrow import parquet as files

    header, _ = points
    places, columns = _told(points)
    arrays = {name: pa.array(steps) for name, steps in places.items()}
    arrays |= {
        name: pa.array(column, mask=np.isnan(column))
        for name, column in zip(_names(points), columns, strict=True)
    }
    about = json.dumps({"job": header["job"], "attempt": header["attempt"], "steps": header["total"]})
    out = io.BytesIO()
    files.write_table(pa.table(arrays).replace_schema_metadata({"acc": about}), out)
    yield out.getvalue()


def events(points: Points) -> Iterator[bytes]:
    """Yield an event file: a scalar for each series and step, with the time at which the step was made."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    header, columns = points
    steps = np.arange(header["start"], header["stop"])
    times = np.interp(steps, *header["clock"]) if header["clock"][0] else np.zeros(len(steps))
    out = io.BytesIO()
    record = RecordWriter(out)
    record.write(
        Event(file_version="brain.Event:2", wall_time=times[0] if len(times) else 0).SerializeToString()
    )
    for first in range(0, len(steps), STEPS_IN_A_PIECE):
        for place in range(first, min(first + STEPS_IN_A_PIECE, len(steps))):
            values = [
                Summary.Value(tag=name, simple_value=value)
                for name, value in zip(header["series"], columns[:, place].tolist(), strict=True)
                if not math.isnan(value)
            ]
            if not values:
                continue
            event = Event(step=int(steps[place]), wall_time=times[place], summary=Summary(value=values))
            record.write(event.SerializeToString())
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()


FORMS = {
    "csv": Form(
        "text/csv",
        (),
        "",
        lambda header: f"job-{header['job']}.csv",
        csv,
    ),
    "parquet": Form(
        "application/vnd.apache.parquet",
        ("pyarrow",),
        "data",
        lambda header: f"job-{header['job']}.parquet",
        parquet,
    ),
    "tensorboard": Form(
        "application/x-tensorboard-events",
        ("tensorboard",),
        "tensorboard",
        # TensorBoard reads what has this in its name, and takes the number for the time of its beginning.
        lambda header: f"events.out.tfevents.{_began(header)}.job-{header['job']}",
        events,
    ),
}


def form_of(name: str) -> str:
    """Return the form that a file's name says: Parquet, events as TensorBoard finds them, else CSV."""
    if "tfevents" in name:
        return "tensorboard"
    return "parquet" if name.endswith(".parquet") else "csv"


def check(form: str, *, envelope: bool = False) -> None:
    """Raise InvalidInput (format) unless files of this form can be made here, (points) for an envelope of events."""
    if form not in FORMS:
        raise InvalidInput({"format": f"{form!r} is none of: {', '.join(FORMS)}"})
    missing = [name for name in FORMS[form].packages if importlib.util.find_spec(name) is None]
    if missing:
        raise InvalidInput(
            {
                "format": f"{form} needs the package {missing[0]}, which is not installed here; "
                f"`pip install 'acc[{FORMS[form].extra}]'` brings it"
            }
        )
    if envelope and form == "tensorboard":
        raise InvalidInput(
            {"points": "events have one value a step, and an envelope has three a bucket; leave it out"}
        )


def _began(header: LossHistoryHeader) -> int:
    times = header["clock"][1] if "clock" in header else []
    return int(times[0]) if times else 0


def _told(points: Points) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.float32]]:
    """Return the steps, or the ends of buckets, at which any series has a value, and the values there.

    A loop of one's own may have told few of very many steps: the others would be lines of nothing.
    """
    _, columns = points
    places = _places(points)
    if not len(columns):
        return places, columns
    there = ~np.isnan(columns).all(axis=0)
    return {name: steps[there] for name, steps in places.items()}, columns[:, there]


def _places(points: Points) -> dict[str, NDArray[np.int64]]:
    header, _ = points
    if header["kind"] == "raw":
        return {"step": np.arange(header["start"], header["stop"], dtype=np.int64)}
    firsts = np.arange(header["start"], header["stop"], header["bucket"], dtype=np.int64)
    return {"first_step": firsts, "last_step": np.minimum(firsts + header["bucket"], header["stop"]) - 1}


def _names(points: Points) -> list[str]:
    header, _ = points
    if header["kind"] == "raw":
        return header["series"]
    return [f"{name} {kind}" for name in header["series"] for kind in STATISTICS]


def _quoted(name: str) -> str:
    # A leading =, +, - or @ would be run as a formula by a spreadsheet; series names never need one.
    safe = name if name[:1] not in "=+-@" else f"'{name}"
    return '"' + safe.replace('"', '""') + '"' if any(sign in safe for sign in ',"\n') else safe

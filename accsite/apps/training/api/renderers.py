"""Loss points as JSON columns, binary, or CSV, as the Accept header asks."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rest_framework.renderers import BaseRenderer, JSONRenderer

from acc import wire
from acc.messages import LossHistoryHeader

Points = tuple[LossHistoryHeader, NDArray[np.float32]]
STATISTICS = ("min", "max", "mean")


class ColumnsRenderer(JSONRenderer):
    """JSON: ``columns`` by series; null where there is no value."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return points, or the problem detail of an error, as JSON."""
        if isinstance(data, tuple):
            data = json_columns(data)
        result: bytes = super().render(data, accepted_media_type, renderer_context)
        return result


class _BytesRenderer(BaseRenderer):
    """Shows data as bytes; the problem detail of an error stays JSON."""

    charset: str | None = None
    render_style = "binary"
    encode: Callable[[Any], bytes]

    def render(
        self, data: Any, _media_type: str | None = None, _context: Mapping[str, Any] | None = None
    ) -> bytes:
        return json.dumps(data).encode() if isinstance(data, dict) else type(self).encode(data)


class PointsRenderer(_BytesRenderer):
    """``acc.wire``: the layout of the socket's frames."""

    media_type = wire.CONTENT_TYPE
    format = "points"
    encode = staticmethod(lambda points: wire.encode(*points))


class PlainRenderer(_BytesRenderer):
    """Text as it was printed, whatever bytes that are."""

    media_type = "text/plain"
    format = "text"
    encode = bytes


class CsvRenderer(_BytesRenderer):
    """CSV with one line a step, or a bucket of an envelope; empty where there is no value."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"
    render_style = "text"
    encode = staticmethod(lambda points: csv_lines(points).encode())


def json_columns(points: Points) -> dict[str, Any]:
    """Return header and columns as plain data."""
    header, columns = points
    # Through text, so that 0.1 is written as 0.1 and not as its float64 neighbour 0.10000000149011612.
    exact = columns.astype("U32").astype(np.float64)
    rows = [
        [value if known else None for value, known in zip(r, k, strict=True)]
        for r, k in zip(exact.tolist(), np.isfinite(columns).tolist(), strict=True)
    ]
    if header["kind"] == "raw":
        named: dict[str, Any] = dict(zip(header["series"], rows, strict=True))
    else:
        named = {
            name: dict(zip(STATISTICS, rows[3 * index : 3 * index + 3], strict=True))
            for index, name in enumerate(header["series"])
        }
    return {**header, "columns": named}


def csv_lines(points: Points) -> str:
    """Return header line and one line a column."""
    header, columns = points
    names = header["series"]
    if header["kind"] == "raw":
        heads = ["step", *names]
        places = [[step] for step in range(header["start"], header["stop"])]
    else:
        heads = ["first_step", "last_step", *(f"{name} {kind}" for name in names for kind in STATISTICS)]
        firsts = range(header["start"], header["stop"], header["bucket"])
        places = [[first, min(first + header["bucket"], header["stop"]) - 1] for first in firsts]
    out = io.StringIO()
    out.write(",".join(_quoted(head) for head in heads) + "\n")
    text = np.where(np.isnan(columns), "", columns.astype("U32")).T.tolist()
    for place, values in zip(places, text or [[]] * len(places), strict=True):
        out.write(",".join([*map(str, place), *values]) + "\n")
    return out.getvalue()


def _quoted(name: str) -> str:
    # A leading =, +, - or @ would be run as a formula by a spreadsheet; series names never need one.
    safe = name if name[:1] not in "=+-@" else f"'{name}"
    return '"' + safe.replace('"', '""') + '"' if any(sign in safe for sign in ',"\n') else safe

"""Loss points as JSON columns, binary, or a file of ``exporting``, as the Accept header asks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from rest_framework.renderers import BaseRenderer, JSONRenderer

from acc import wire
from accsite.apps.training import exporting
from accsite.apps.training.exporting import STATISTICS, Points


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
    """A file of ``exporting``, which the view sends piece by piece; shown here is only why there is none."""

    format = "csv"
    media_type = exporting.FORMS[format].media_type
    charset: str | None = "utf-8"
    encode = bytes


class ParquetRenderer(CsvRenderer):
    """The same as a table in Parquet."""

    format = "parquet"
    media_type = exporting.FORMS[format].media_type
    charset = None


class EventsRenderer(CsvRenderer):
    """The same as an event file of TensorBoard."""

    format = "tensorboard"
    media_type = exporting.FORMS[format].media_type
    charset = None


FILES = (CsvRenderer, ParquetRenderer, EventsRenderer)


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

"""The binary layout of loss points, the same on the WebSocket and in REST. Torch-free.

``b"ACP1"``, header length (uint32 LE), header (UTF-8 JSON padded with spaces to a multiple of 4),
then float32 LE columns, one after another in the order of ``header["series"]``; each ``count`` long.
An envelope has three columns a series: min, max, mean of each bucket.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"ACP1"
CONTENT_TYPE = "application/vnd.acc.points"


def encode(header: Mapping[str, object], columns: NDArray[np.float32]) -> bytes:
    """Return header and ``columns (rows, count) float32`` as bytes; ``count`` and ``rows`` are added to the header."""
    if columns.ndim != 2:
        raise ValueError(f"columns must be 2-D (rows, count), got shape {columns.shape}")
    full = {**header, "rows": int(columns.shape[0]), "count": int(columns.shape[1])}
    text = json.dumps(full, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    return MAGIC + struct.pack("<I", len(text)) + text + np.ascontiguousarray(columns, dtype="<f4").tobytes()


def decode(data: bytes) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Return header and columns of ``encode``; raises ValueError on anything else."""
    if len(data) < 8 or data[:4] != MAGIC:
        raise ValueError("not a points message: it does not begin with ACP1")
    (length,) = struct.unpack_from("<I", data, 4)
    header = json.loads(data[8 : 8 + length])
    values = np.frombuffer(data, dtype="<f4", offset=8 + length)
    if values.size != header["rows"] * header["count"]:
        raise ValueError(
            f"points message holds {values.size} values, its header says {header['rows']} x {header['count']}"
        )
    return header, values.reshape(header["rows"], header["count"])

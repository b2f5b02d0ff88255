"""NumPy's ``.npy``: one array. Its header is believed only after it was checked against the bytes there are."""

from __future__ import annotations

import math
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from acc.data.importers.limits import MAX_DATASET_BYTES, check_bytes, refuse

MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 10_000
_READERS = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}

# NumPy parses the header as Python text, and, where that fails, once more word by word.
_NO_HEADER = (ValueError, SyntaxError, TypeError, TokenError, RecursionError, MemoryError)


def array(path: Path, *, max_bytes: int = MAX_DATASET_BYTES) -> NDArray[Any]:
    """Return the array of a ``.npy`` file, mapped from it; raises InvalidInput (file)."""
    try:
        with path.open("rb") as file:
            check_header(file, path.stat().st_size, path.name, max_bytes)
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, SyntaxError, TypeError, EOFError) as error:
        raise refuse(path.name, f"is not a whole .npy file: {error}") from error
    except OSError as error:
        raise refuse(path.name, f"cannot be read: {error.strerror or error}") from error
    return found


def check_header(file: IO[bytes], size: int, name: str, max_bytes: int) -> None:
    """Raise InvalidInput (file) unless what follows the header in ``size`` bytes is the array that it tells of.

    Raises ValueError for what is no header.
    """
    version = npy_format.read_magic(file)
    reader = _READERS.get(version)
    if reader is None:
        raise ValueError(f"version {version} is not known")
    try:
        shape, _, dtype = reader(file, max_header_size=_MAX_HEADER_BYTES)
    except _NO_HEADER as error:
        raise ValueError(f"its header cannot be read: {error}") from error
    if dtype.hasobject:
        raise refuse(name, "holds Python objects; need arrays of numbers only")
    if any(side < 0 for side in shape):
        raise ValueError(f"its shape is {shape}")
    needed = math.prod(shape) * dtype.itemsize
    check_bytes(name, needed, max_bytes)
    if needed != size - file.tell():
        raise ValueError(f"it tells of {needed:,} bytes, and {size - file.tell():,} follow")

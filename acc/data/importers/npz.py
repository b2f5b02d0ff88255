"""NumPy's ``.npz``: one array of images, and arrays of one value for each image as targets."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.data.dataset import AccDataset
from acc.data.importers.arrays import dataset_of_named
from acc.data.importers.limits import MAX_DATASET_BYTES, check_bytes, refuse
from acc.data.importers.looks import Look
from acc.data.importers.npy import check_header
from acc.data.importers.scale import Pixels
from acc.errors import InvalidInput

_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    SyntaxError,
    TypeError,
    ValueError,
    RuntimeError,  # an encrypted or an unknown way of packing
)


def read(
    path: Path, *, max_bytes: int = MAX_DATASET_BYTES, pixels: Pixels = "uint8", look: Look | None = None
) -> AccDataset:
    """Return the dataset of a ``.npz`` file: see ``dataset_of_named``. Raises InvalidInput (file)."""
    return dataset_of_named(_arrays(path, max_bytes), file=path.name, pixels=pixels, look=look)


def _arrays(path: Path, max_bytes: int) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            # What the directory says is checked by zipfile while it unpacks, so a bomb is caught here.
            check_bytes(path.name, sum(entry.file_size for entry in entries), max_bytes)
            for entry in entries:
                if entry.filename.endswith(".npy"):
                    with archive.open(entry) as file:
                        check_header(file, entry.file_size, path.name, max_bytes)
        with np.load(path, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except InvalidInput:
        raise
    except _DAMAGED as error:
        raise refuse(path.name, f"is not a whole .npz file: {error}") from error
    except OSError as error:
        raise refuse(path.name, f"cannot be read: {error.strerror or error}") from error

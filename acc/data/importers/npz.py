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
from acc.data.importers.arrays import dataset_of
from acc.data.importers.limits import MAX_DATASET_BYTES, check_bytes, refuse

_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    SyntaxError,
    RuntimeError,  # an encrypted or an unknown way of packing
)
IMAGE_NAMES = ("images", "x", "data", "x_train", "arr_0")


def read(path: Path, *, max_bytes: int = MAX_DATASET_BYTES) -> AccDataset:
    """Return the dataset of a ``.npz`` file.

    Images are the array named ``images`` (or x, data, x_train, arr_0), else the only one of three or more axes; all
    one-dimensional arrays are targets. Arrays of Python objects are refused. Raises InvalidInput (file).
    """
    arrays = _arrays(path, max_bytes)
    name = _images_name(arrays, path.name)
    images = arrays.pop(name)
    targets = {
        key: value
        for key, value in arrays.items()
        if value.ndim == 1 or (value.ndim == 2 and value.shape[1] == 1)
    }
    left_over = sorted(arrays.keys() - targets.keys())
    if left_over:
        raise refuse(
            path.name,
            f"holds '{left_over[0]}' of shape {arrays[left_over[0]].shape} beside the images '{name}'; "
            "need one value for each image, or no such array",
        )
    return dataset_of(images, targets, file=path.name)


def _images_name(arrays: dict[str, NDArray[Any]], file: str) -> str:
    candidates = [name for name, value in arrays.items() if value.ndim >= 3]
    lower = {name.lower(): name for name in candidates}
    for known in IMAGE_NAMES:
        if known in lower:
            return lower[known]
    if len(candidates) == 1:
        return candidates[0]
    there = ", ".join(f"{name} {value.shape}" for name, value in sorted(arrays.items())) or "no array"
    raise refuse(
        file, f"holds {there}; name the array of images 'images', of shape (N, H, W) or (N, H, W, C)"
    )


def _arrays(path: Path, max_bytes: int) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            # What the directory says is checked by zipfile while it unpacks, so a bomb is caught here.
            check_bytes(path.name, sum(entry.file_size for entry in archive.infolist()), max_bytes)
        with np.load(path, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except _DAMAGED as error:
        raise refuse(path.name, f"is not a whole .npz file: {error}") from error
    except OSError as error:
        raise refuse(path.name, f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise refuse(path.name, "holds Python objects; need arrays of numbers only") from error
        raise refuse(path.name, f"is not a whole .npz file: {error}") from error

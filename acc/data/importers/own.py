"""ACC's own safetensors files. What came from elsewhere is checked like any other file: its hash proves nothing."""

from __future__ import annotations

from pathlib import Path

from acc.data.dataset import AccDataset
from acc.data.importers.limits import MAX_DATASET_BYTES, check_bytes, check_side, refuse
from acc.errors import InvalidInput


def read(path: Path, *, max_bytes: int = MAX_DATASET_BYTES) -> AccDataset:
    """Return the dataset of a file that ACC wrote, memory-mapped; raises InvalidInput (file)."""
    try:
        check_bytes(path.name, path.stat().st_size, max_bytes)
        found = AccDataset.load(path)
        data = AccDataset(
            found.images, found.targets, found.target_specs, units=found.units, split=found.split
        )
    except OSError as error:
        raise refuse(path.name, f"cannot be read: {error.strerror or error}") from error
    except InvalidInput as error:
        if "file" in error.fields:
            raise
        raise refuse(path.name, f"does not hold together: {error}") from error
    for side in data.images.shape[2:]:
        check_side(path.name, side)
    return data

"""Finds the importer for a file, by what the file begins with rather than by what it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acc.data.dataset import AccDataset
from acc.data.importers import idx, npz
from acc.data.importers.limits import MAX_DATASET_BYTES, refuse
from acc.errors import InvalidInput

FORMATS = ("npz", "idx")


def import_file(
    path: Path, *, labels: Path | None = None, max_bytes: int = MAX_DATASET_BYTES
) -> tuple[AccDataset, dict[str, Any]]:
    """Return the dataset of a file, and its provenance: importer and file names.

    labels: a second IDX file with the labels. Raises InvalidInput (file, labels).
    """
    kind = format_of(path)
    provenance: dict[str, Any] = {"importer": kind, "file": path.name}
    if kind == "npz":
        if labels is not None:
            raise InvalidInput(
                {"labels": f"'{labels.name}' is not needed: a .npz file holds its targets itself"}
            )
        return npz.read(path, max_bytes=max_bytes), provenance
    found = labels or idx.named_alike(path)
    if found is not None:
        provenance["labels"] = found.name
    return idx.read(path, labels=found, max_bytes=max_bytes), provenance


def format_of(path: Path) -> str:
    """Return the format of a file, ``npz`` or ``idx``; raises InvalidInput (file)."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise refuse(path.name, f"cannot be read: {error.strerror or error}") from error
    if not head:
        raise refuse(path.name, "is empty")
    if head[:2] == b"PK":
        return "npz"
    if head[:2] in (b"\0\0", b"\x1f\x8b"):
        return "idx"
    raise refuse(path.name, f"begins with {head.hex(' ')}, which is neither .npz nor IDX (gzipped or not)")

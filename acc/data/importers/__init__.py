"""Datasets from files that people already have: looked at, mapped, and read in a stream. Torch-free.

``look`` says what is in a file or folder, ``propose`` what most likely is to become of it, ``asked`` what has to be
decided first, ``preview`` shows it, and ``read`` writes the dataset file. Each format is a module whose errors are
InvalidInput with a sentence. What is read is measured before it is unpacked, and nothing is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from acc.data.importers import looking, reading
from acc.data.importers.limits import MAX_DATASET_BYTES, disk_full, is_disk_full
from acc.data.importers.looking import asked, propose, with_images
from acc.data.importers.mapping import ImportMapping, Source
from acc.data.importers.opening import FORMATS, Limits, ReadTensors
from acc.data.importers.reading import Preview

__all__ = [
    "FORMATS",
    "MAX_DATASET_BYTES",
    "Preview",
    "asked",
    "disk_full",
    "is_disk_full",
    "look",
    "preview",
    "propose",
    "read",
    "with_images",
]


def _nothing(_: float) -> None:
    return None


def look(
    path: Path,
    *,
    labels: Path | None = None,
    max_bytes: int = MAX_DATASET_BYTES,
    read_tensors: ReadTensors | None = None,
    scratch: Path | None = None,
    progress: Callable[[float], None] = _nothing,
) -> Source:
    """Return what is in a file or folder; nothing is kept, and nothing unpickled.

    labels: a second file with the targets (IDX, ``.npy``, a ``.npz`` of one array, or a table). max_bytes: what it may
    hold unpacked. read_tensors: what reads ``.pt`` files, since that takes torch. scratch: where what is packed as a
    whole is unpacked (default: the system's temporary folder). progress: takes the fraction done, and may raise to
    stop. Raises InvalidInput (file, labels) for what cannot be read at all.
    """
    progress(0.0)
    # What lies behind transparent pictures is asked for once they are previewed; here their values are looked at.
    found = looking.look(path, labels=labels, limits=Limits(max_bytes, read_tensors, scratch, "black"))
    progress(1.0)
    return found


def preview(
    path: Path,
    mapping: ImportMapping,
    n: int = 8,
    *,
    labels: Path | None = None,
    max_bytes: int = MAX_DATASET_BYTES,
    read_tensors: ReadTensors | None = None,
    scratch: Path | None = None,
    progress: Callable[[float], None] = _nothing,
) -> Preview:
    """Return ``n`` images as they will be stored, and histograms of the targets; options as of ``look``.

    Raises InvalidInput naming the field of the mapping that does not fit.
    """
    limits = Limits(max_bytes, read_tensors, scratch, mapping.steps.background)
    progress(0.0)
    found = reading.preview(path, mapping, n, labels=labels, limits=limits)
    progress(1.0)
    return found


def read(
    path: Path,
    mapping: ImportMapping,
    out: Path,
    *,
    labels: Path | None = None,
    max_bytes: int = MAX_DATASET_BYTES,
    read_tensors: ReadTensors | None = None,
    scratch: Path | None = None,
    progress: Callable[[float], None] = _nothing,
) -> dict[str, Any]:
    """Write the dataset file to ``out`` in a stream, and return its provenance; options as of ``look``.

    scratch: by default the folder of ``out``, which has room for a dataset.
    Nothing is left behind where it fails. Raises InvalidInput naming the field of the mapping that does not fit, or
    what must be decided and is not.
    """
    limits = Limits(max_bytes, read_tensors, scratch or out.parent, mapping.steps.background)
    return reading.read(path, mapping, out, labels=labels, limits=limits, progress=progress)

"""Finds the importer for a file by what it begins with, and refuses one whose name says something else."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acc.data.dataset import AccDataset
from acc.data.importers import columns, idx, npy, npz, own, pictures
from acc.data.importers.arrays import dataset_of, dataset_of_named
from acc.data.importers.limits import MAX_DATASET_BYTES, refuse
from acc.data.importers.looks import Answers, Look
from acc.data.importers.scale import Pixels
from acc.errors import InvalidInput

FORMATS: Mapping[str, str] = {
    "idx": "IDX",
    "npz": ".npz",
    "npy": ".npy",
    "pt": ".pt",
    "safetensors": "a dataset of ACC",
    "images": "images in a folder or zip archive",
}
"""The importers there are, each with what it takes in words."""
_BY_ENDING = {
    ".npz": "npz",
    ".npy": "npy",
    ".pt": "pt",
    ".pth": "pt",
    ".safetensors": "safetensors",
    ".zip": "images",
    ".gz": "idx",
    ".idx": "idx",
}
_WITH_LABELS = {"idx", "npy", "images"}
Arrays = Mapping[str, NDArray[Any]]
ReadTensors = Callable[[Path, int], Arrays]
Progress = Callable[[float], None]


def import_file(
    path: Path,
    *,
    labels: Path | None = None,
    scale: str = "",
    part: str = "",
    classes: str = "",
    max_bytes: int = MAX_DATASET_BYTES,
    pixels: Pixels = "uint8",
    progress: Progress = lambda _: None,
    read_tensors: ReadTensors | None = None,
) -> tuple[AccDataset, dict[str, Any]]:
    """Return the dataset of a file or folder, and its provenance: importer, file names, and how it was understood.

    labels: a second file with the targets, for IDX and ``.npy`` (IDX, ``.npy`` or a table) and for images (a table).
    scale, part, classes: see ``Answers``; ``look_at`` tells what is found and asked. pixels: whether pixels are stored
    as uint8 or as float32. progress: takes the fraction done and may raise to stop the work. read_tensors: what reads
    ``.pt`` files, since that takes torch. Raises InvalidInput (file, labels, scale, part, classes, pixels).
    """
    look = Look(Answers(scale, part, classes))
    data, provenance = read(
        path,
        look,
        labels=labels,
        max_bytes=max_bytes,
        pixels=pixels,
        progress=progress,
        read_tensors=read_tensors,
    )
    return data, provenance


def look_at(path: Path, **options: Any) -> Look:
    """Return what is found in a file or folder and what is asked of it; options as of ``import_file``.

    Nothing is kept. Raises InvalidInput for what cannot be read at all.
    """
    answers = Answers(*(str(options.pop(name, "")) for name in ("scale", "part", "classes")))
    look = Look(answers, looking=True)
    read(path, look, **options)
    return look


def read(
    path: Path,
    look: Look,
    *,
    labels: Path | None = None,
    max_bytes: int = MAX_DATASET_BYTES,
    pixels: Pixels = "uint8",
    progress: Progress = lambda _: None,
    read_tensors: ReadTensors | None = None,
) -> tuple[AccDataset, dict[str, Any]]:
    """Return what ``import_file`` does, and tell ``look`` all that is found on the way."""
    kind = format_of(path)
    provenance: dict[str, Any] = {"importer": kind, "file": path.name}
    if labels is not None and kind not in _WITH_LABELS:
        what = {"npz": "a .npz file", "pt": "a .pt file"}.get(kind, "a dataset of ACC")
        raise InvalidInput({"labels": f"'{labels.name}' is not needed: {what} holds its targets itself"})
    if kind != "images":
        for field in ("part", "classes"):
            if getattr(look.answers, field):
                raise InvalidInput({field: f"'{path.name}' has no folders; leave {field} out"})
    if kind == "safetensors" and look.answers.scale:
        raise InvalidInput(scale=f"'{path.name}' is a dataset of ACC, whose scale is known; leave it out")
    found = labels or (idx.named_alike(path) if kind == "idx" else None)
    if found is not None:
        provenance["labels"] = found.name
    look.found("source", FORMATS[kind] + (f", with targets from '{found.name}'" if found is not None else ""))
    if kind == "images":
        data = pictures.read(
            path, targets=found, max_bytes=max_bytes, pixels=pixels, progress=progress, look=look
        )
    elif kind == "safetensors":
        data = own.read(path, max_bytes=max_bytes)
    elif kind == "npz":
        data = npz.read(path, max_bytes=max_bytes, pixels=pixels, look=look)
    elif kind == "pt":
        data = _tensors(path, max_bytes, pixels, read_tensors, look)
    else:
        data = _array(kind, path, found, max_bytes=max_bytes, pixels=pixels, look=look)
    progress(1.0)
    return data, provenance | look.record


def format_of(path: Path) -> str:
    """Return the format of a file, one of FORMATS; raises InvalidInput (file)."""
    try:
        if path.is_dir():
            return "images"
        with path.open("rb") as file:
            head = file.read(10)
    except OSError as error:
        raise refuse(path.name, f"cannot be read: {error.strerror or error}") from error
    if not head:
        raise refuse(path.name, "is empty")
    named = _BY_ENDING.get(path.suffix.lower())
    kind = _kind(path, head, named)
    if named is not None and kind != named:
        raise refuse(
            path.name, f"ends in {path.suffix} and holds {FORMATS[kind]}; give it the name of what it is"
        )
    return kind


def _kind(path: Path, head: bytes, named: str | None) -> str:
    if head[:4] in (b"PK\3\4", b"PK\5\6"):
        return _kind_of_zip(path) or (named if named in {"npz", "pt", "images"} else None) or "npz"
    if head[:6] == npy.MAGIC:
        return "npy"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return "safetensors"
    if head[:2] in (b"\0\0", b"\x1f\x8b"):
        return "idx"
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        raise refuse(
            path.name, "is a pickle, which may hold code; save it again by torch.save of today, or as .npz"
        )
    known = ", ".join(FORMATS.values())
    raise refuse(path.name, f"begins with {head[:4].hex(' ')}, which is none of: {known}")


def _kind_of_zip(path: Path) -> str | None:
    """Return what a zip archive is, None for one whose directory cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return None
    if any(name.endswith("/data.pkl") for name in names):
        return "pt"
    return "npz" if names and all(name.endswith(".npy") for name in names) else "images"


def _tensors(
    path: Path, max_bytes: int, pixels: Pixels, read_tensors: ReadTensors | None, look: Look
) -> AccDataset:
    if read_tensors is None:
        raise refuse(path.name, "is a .pt file, which this process cannot read; import it by a job")
    return dataset_of_named(read_tensors(path, max_bytes), file=path.name, pixels=pixels, look=look)


def _array(
    kind: str, path: Path, labels: Path | None, *, max_bytes: int, pixels: Pixels, look: Look
) -> AccDataset:
    images = (idx if kind == "idx" else npy).array(path, max_bytes=max_bytes)
    if images.ndim < 3:
        raise refuse(
            path.name, f"holds an array of shape {images.shape}; images have three axes: N, height, width"
        )
    targets, names = _labels(labels, path, max_bytes) if labels is not None else ({}, {})
    return dataset_of(
        images,
        targets,
        file=path.name,
        table=labels.name if labels is not None else "",
        labels=names,
        pixels=pixels,
        look=look,
    )


def _labels(labels: Path, images: Path, max_bytes: int) -> tuple[Arrays, dict[str, tuple[str, ...]]]:
    """Return the targets of a second file: an array called ``label``, or the columns of a CSV file."""
    try:
        if labels.samefile(images):
            raise InvalidInput({"labels": f"'{labels.name}' is the file of images; give the one of labels"})
        if labels.suffix.lower() in columns.ENDINGS:
            found = columns.read(labels.read_bytes(), labels.name, by_file=False)
            return found.values, found.labels
        with labels.open("rb") as file:
            head = file.read(6)
    except OSError as error:
        raise refuse(labels.name, f"cannot be read: {error.strerror or error}") from error
    if head != npy.MAGIC and head[:2] not in (b"\0\0", b"\x1f\x8b"):
        raise refuse(
            labels.name, f"is neither IDX nor .npy; name a table {', '.join(sorted(columns.ENDINGS))}"
        )
    array = (npy if head == npy.MAGIC else idx).array(labels, max_bytes=max_bytes)
    return {"label": np.asarray(array)}, {}

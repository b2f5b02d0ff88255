"""Imports of tests in one call: what is proposed for a file, changed as a test says, and read; and files to import."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from acc.data import AccDataset, importers
from acc.data.importers.mapping import ImportMapping, Source, TargetMapping, changed

RNG = np.random.default_rng(0)


def proposal(
    source: Source, *, scale: str = "", part: str = "", classes: str = "", pixels: str = "", **changes: Any
) -> ImportMapping:
    """Return what is proposed for a source, with some of it said. classes: whether folders are (folders, none)."""
    mapping = importers.propose(source)
    wanted: dict[str, Any] = dict(changes)
    if scale:
        wanted["scale"] = scale
    if pixels:
        wanted["pixels"] = pixels
    if part and part != "all":
        wanted["parts"] = [part]
    others = [target.model_dump() for target in mapping.targets if target.source != "folder"]
    if classes == "none":
        wanted |= {"targets": others, "left_out": [*mapping.left_out, "folder"]}
    elif classes == "folders":
        folder = TargetMapping(source="folder", name="label", kind="class").model_dump()
        wanted |= {"targets": [*others, folder], "split": ""}
    return changed(mapping, **wanted)


def import_file(
    path: Path,
    *,
    scale: str = "",
    part: str = "",
    classes: str = "",
    pixels: str = "",
    changes: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[AccDataset, dict[str, Any]]:
    """Return the dataset that an import of a file gives, checked anew, and its provenance."""
    source = importers.look(path, **options)
    mapping = proposal(source, scale=scale, part=part, classes=classes, pixels=pixels, **(changes or {}))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "made.safetensors"
        try:
            provenance = importers.read(path, mapping, out, **options)
        finally:
            assert {each.name for each in Path(folder).iterdir()} <= {out.name}, (
                "something half-made was left"
            )
        data = AccDataset.load(out)
    again = AccDataset(data.images, data.targets, data.target_specs, units=data.units, split=data.split)
    assert again.content_hash == data.content_hash
    return data, provenance


def asked_of(path: Path, **options: Any) -> dict[str, str]:
    """Return what must be decided before a file is read as is proposed: field -> sentence."""
    source = importers.look(path, **options)
    return {
        each.field: each.words for each in importers.asked(source, importers.propose(source)) if each.needed
    }


def pixels(*shape: int) -> Any:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def idx(path: Path, array: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    code = {"u1": 8, "i4": 0x0C}[array.dtype.str[1:]]
    head = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.astype(array.dtype.newbyteorder(">")).tobytes()))
    return path


def png(*shape: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels(*shape)).save(buffer, "PNG")
    return buffer.getvalue()


def tarred(path: Path, files: dict[str, bytes], mode: Any = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def norb(path: Path, array: Any, magic: int) -> None:
    shape = [*array.shape, 1, 1][: max(3, array.ndim)]
    head = struct.pack(f"<2I{len(shape)}I", magic, array.ndim, *shape)
    path.write_bytes(head + array.tobytes())

"""Imports of tests in one call: what is proposed for a file, changed as a test says, and read."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from acc.data import AccDataset, importers
from acc.data.importers.mapping import ImportMapping, Source, TargetMapping, changed


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

"""Checkpoints and bundles opened in a notebook, without the platform."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acc.bundle import is_bundle, read_bundle
from acc.errors import CheckpointError
from acc.models import BUILT_IN, Model, build
from acc.training.checkpoints.carried import carried_classes
from acc.training.checkpoints.files import Checkpoint
from acc.training.checkpoints.files import load as load_checkpoint
from acc.training.checkpoints.header import Header
from acc.training.checkpoints.restore import load_model


@dataclass(frozen=True)
class Opened:
    """A trained model in eval mode, the header of its checkpoint, and where a bundle says that it came from."""

    model: Model
    header: Header
    checkpoint: Checkpoint
    provenance: dict[str, Any]
    licence: str = ""


def open_checkpoint(path: str | Path, *, trust_code: bool = False) -> Opened:
    """Return the model of a checkpoint's file, plain (``.safetensors``) or exported (``.acc.zip``).

    Weights are never unpickled. Plugin code in the file runs only with ``trust_code``, or if it is that of a plugin
    that is installed here; a model whose architecture comes with ACC needs none. Raises CheckpointError for a file
    that is not intact, or whose architecture is code that was not to be trusted.
    """
    path = Path(path)
    provenance: dict[str, Any] = {}
    licence = ""
    if is_bundle(path):
        with tempfile.TemporaryDirectory(prefix="acc-open-") as folder:
            bundle = read_bundle(path, Path(folder))
            checkpoint = load_checkpoint(bundle.weights, bundle.sha256)
            provenance, licence = bundle.provenance, bundle.licence
    else:
        checkpoint = load_checkpoint(path)
    header = checkpoint.header
    model = build(header.spec.model, _architectures(path, header, trust_code))
    load_model(model, checkpoint)
    return Opened(model.eval(), header, checkpoint, provenance, licence)


def _architectures(path: Path, header: Header, trust_code: bool) -> dict[str, type[Model]]:
    name = header.spec.model.architecture
    if name not in header.plugins and name not in BUILT_IN:
        raise CheckpointError(
            f"'{path.name}' holds a model of architecture {name}, which is not part of ACC; "
            "its source is not in the file"
        )
    if name in BUILT_IN:
        return {}
    try:
        found = carried_classes(
            header,
            [name],
            trust_code=trust_code,
            ask="acc.load(path, trust_code=True) runs that source",
        )
    except CheckpointError as error:
        raise CheckpointError(
            f"'{path.name}' holds a model of architecture {name}, which is not part of ACC: {error}"
        ) from None
    return dict(found.models)

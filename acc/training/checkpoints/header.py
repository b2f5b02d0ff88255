"""What a checkpoint says of itself, read without its tensors. Torch-free, even for a type checker."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acc.errors import CheckpointError, InvalidInput
from acc.hashes import file_sha256
from acc.specs import TrainJobSpec, parse

FORMAT_VERSION = 1
METADATA_KEY = "acc"
WEIGHTS_KEY = "weights"
"""The metadata entry of a file of weights alone: what is known of them, as JSON; ``class`` names their model's."""
MAX_HEADER_BYTES = 100_000_000
PLUGIN_KEYS = ("path", "sha256", "source")
"""What stands in a header of each class that the file carries."""


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of itself.

    spec: the job as it stood (tasks with their weights of the moment). job_step: updates made by the job;
    global_step: by the whole line of checkpoints. lr, grad_clip_norm: in force, which users change on the way.
    ages: task key -> updates it took part in.
    offsets: dataset key -> samples drawn. skipped: the job's updates that were left out as not finite.
    early_stop: what early stopping knows (``acc.training.losses.early_stop``). plateaus: what each rate that waits for
    a plateau knows, '' the job's (``acc.training.optimizers``). precision: what the passes were
    computed in. plugins: class -> path, sha256 and source. state: ``model``, ``head.<task key>`` or
    ``task.<task key>`` -> what it holds beside weights (``acc.training.checkpoints.extra_state``). added: keys of
    tasks that came while the job ran. streamed: keys of datasets that were trained from their files, in the order of
    ``acc.training.streaming``.
    """

    spec: TrainJobSpec
    job_step: int
    global_step: int
    lr: float
    grad_clip_norm: float | None = None
    skipped: int = 0
    ages: dict[str, int] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    plugins: dict[str, dict[str, str]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    early_stop: dict[str, float] = field(default_factory=dict)
    plateaus: dict[str, dict[str, float]] = field(default_factory=dict)
    precision: str = "fp32"
    device: str = "cpu"
    threads: int = 1
    state: dict[str, dict[str, Any]] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    streamed: tuple[str, ...] = ()
    format: int = FORMAT_VERSION

    def to_json(self) -> str:
        return json.dumps({**_shallow(self), "spec": self.spec.model_dump(mode="json")}, sort_keys=True)


def _shallow(header: Header) -> dict[str, Any]:
    fields = {name: getattr(header, name) for name in Header.__dataclass_fields__}
    fields.pop("spec")
    return fields


def read_header(path: str | Path) -> Header:
    """Return the header without reading the tensors; raises CheckpointError naming the file."""
    path = Path(path)
    text = read_metadata(path).get(METADATA_KEY)
    if text is None:
        raise CheckpointError(
            f"'{path.name}' is a safetensors file, but no checkpoint of ACC: it has no '{METADATA_KEY}' entry"
        )
    return parse_header(path, text)


def read_metadata(path: Path) -> dict[str, str]:
    """Return what a safetensors file says of itself; raises CheckpointError for one that is not whole."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(size - 8, MAX_HEADER_BYTES):
                raise CheckpointError(damaged(path, "it does not begin with a safetensors header"))
            listing = json.loads(file.read(length))
    except OSError as error:
        raise CheckpointError(f"checkpoint '{path.name}' cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(damaged(path, "its header is not JSON")) from error
    try:
        ends = [int(entry["data_offsets"][1]) for name, entry in listing.items() if name != "__metadata__"]
        told = {str(name): str(text) for name, text in (listing.get("__metadata__") or {}).items()}
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        raise CheckpointError(damaged(path, "its header is not that of a safetensors file")) from None
    if 8 + length + max(ends, default=0) != size:
        raise CheckpointError(
            damaged(path, f"it has {size} bytes, its header says {8 + length + max(ends, default=0)}")
        )
    return told


def parse_header(path: Path, text: str) -> Header:
    """Return the header of its text; raises CheckpointError naming the file it is from."""
    try:
        fields: dict[str, Any] = json.loads(text)
        version = fields.get("format")
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"checkpoint '{path.name}' has format {version!r}; this ACC reads format {FORMAT_VERSION}"
            )
        for name in ("added", "streamed"):
            fields[name] = tuple(fields.get(name, ()))
        if not all(isinstance(state, dict) for state in dict(fields.get("state", {})).values()):
            raise TypeError("its state holds what is no object")
        for name, told in dict(fields.get("plugins", {})).items():
            if not isinstance(told, dict) or not all(isinstance(told.get(key), str) for key in PLUGIN_KEYS):
                raise TypeError(f"its plugin {name!r} is without one of: {', '.join(PLUGIN_KEYS)}")
        spec = parse(TrainJobSpec, fields["spec"])
        fields.setdefault(
            "grad_clip_norm", spec.train.grad_clip_norm
        )  # none was changed when it was not written
        return Header(**{**fields, "spec": spec})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InvalidInput) as error:
        raise CheckpointError(damaged(path, f"its header is not what ACC wrote: {error}")) from error


def damaged(path: Path, why: str) -> str:
    """Return the sentence about a file that is not what it should be."""
    return f"checkpoint '{path.name}' is damaged ({why}); its sha256 is {file_sha256(path)}"

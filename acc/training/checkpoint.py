"""Checkpoints: one safetensors file with everything that is needed to go on exactly. Torch-free to import.

Tensors: ``model.*``, ``head.<task key>.*``, ``optim.<parameter>/<slot>``, ``rng.*``. The metadata entry
``acc`` holds the header as JSON. Equal states give equal bytes: nothing of the clock or the place goes in.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acc.errors import CheckpointError, InvalidInput
from acc.specs import TrainJobSpec, parse

if TYPE_CHECKING:
    from torch import Tensor

FORMAT_VERSION = 1
METADATA_KEY = "acc"
MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of itself.

    spec: the job as it stood (tasks with their weights of the moment). job_step: updates made by the job;
    global_step: by the whole line of checkpoints. ages: task key -> updates it took part in.
    offsets: dataset key -> samples drawn. skipped: the job's updates that were left out as not finite.
    plugins: class -> path, sha256 and source.
    """

    spec: TrainJobSpec
    job_step: int
    global_step: int
    lr: float
    skipped: int = 0
    ages: dict[str, int] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    plugins: dict[str, dict[str, str]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    device: str = "cpu"
    threads: int = 1
    format: int = FORMAT_VERSION

    def to_json(self) -> str:
        """Return the header as text, keys sorted."""
        return json.dumps({**_shallow(self), "spec": self.spec.model_dump(mode="json")}, sort_keys=True)


def _shallow(header: Header) -> dict[str, Any]:
    fields = {name: getattr(header, name) for name in Header.__dataclass_fields__}
    fields.pop("spec")
    return fields


@dataclass(frozen=True)
class Snapshot:
    """The full state of a trainer after ``step`` updates of its job, copied to the CPU."""

    step: int
    header: Header
    tensors: Mapping[str, Tensor]

    @property
    def global_step(self) -> int:
        """Updates made by the whole line of checkpoints."""
        return self.header.global_step

    @property
    def spec(self) -> TrainJobSpec:
        """The job as it stood."""
        return self.header.spec

    def write(self, path: str | Path) -> str:
        """Write the file (temporary name, fsync, rename) and return its sha256.

        Safe to call from any thread. A failure (a full disk) leaves no file behind and raises OSError.
        """
        from safetensors.torch import save

        return write_atomically(
            Path(path), save(dict(self.tensors), metadata={METADATA_KEY: self.header.to_json()})
        )

    def checkpoint(self) -> Checkpoint:
        """Return the same state as one that was read from a file, to go on from without writing it."""
        return Checkpoint(self.header, self.tensors, sha256="")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory: header, tensors on the CPU, and the sha256 of its file."""

    header: Header
    tensors: Mapping[str, Tensor]
    sha256: str

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose name begins with ``prefix.``, by the rest of their names."""
        start = f"{prefix}."
        return {name[len(start) :]: tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def write_atomically(path: Path, data: bytes) -> str:
    """Write ``data`` so that ``path`` is either absent (or old) or complete; return its sha256."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return hashlib.sha256(data).hexdigest()


def read_header(path: str | Path) -> Header:
    """Return the header without reading the tensors; raises CheckpointError naming the file."""
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(size - 8, MAX_HEADER_BYTES):
                raise CheckpointError(_damaged(path, "it does not begin with a safetensors header"))
            listing = json.loads(file.read(length))
    except OSError as error:
        raise CheckpointError(f"checkpoint '{path.name}' cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(_damaged(path, "its header is not JSON")) from error
    ends = [entry["data_offsets"][1] for name, entry in listing.items() if name != "__metadata__"]
    if 8 + length + max(ends, default=0) != size:
        raise CheckpointError(
            _damaged(path, f"it has {size} bytes, its header says {8 + length + max(ends, default=0)}")
        )
    text = (listing.get("__metadata__") or {}).get(METADATA_KEY)
    if text is None:
        raise CheckpointError(
            f"'{path.name}' is a safetensors file, but no checkpoint of ACC: it has no '{METADATA_KEY}' entry"
        )
    return _parse_header(path, text)


def _parse_header(path: Path, text: str) -> Header:
    try:
        fields: dict[str, Any] = json.loads(text)
        version = fields.get("format")
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"checkpoint '{path.name}' has format {version!r}; this ACC reads format {FORMAT_VERSION}"
            )
        return Header(**{**fields, "spec": parse(TrainJobSpec, fields["spec"])})
    except (ValueError, TypeError, KeyError, InvalidInput) as error:
        raise CheckpointError(_damaged(path, f"its header is not what ACC wrote: {error}")) from error


def file_sha256(path: str | Path) -> str:
    """Return the sha256 of a file as hex digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: str | Path, sha256: str) -> None:
    """Raise CheckpointError, naming the file and both hashes, unless its content is what was recorded."""
    path = Path(path)
    try:
        found = file_sha256(path)
    except OSError as error:
        raise CheckpointError(f"checkpoint '{path.name}' cannot be read: {error.strerror}") from error
    if found != sha256:
        raise CheckpointError(
            f"checkpoint '{path.name}' was truncated or changed: its sha256 is {found}, "
            f"its record says {sha256}"
        )


def load(path: str | Path, sha256: str | None = None) -> Checkpoint:
    """Return the whole checkpoint; raises CheckpointError for a file that is not intact.

    With ``sha256`` the content is compared with what was recorded first. Nothing is ever unpickled.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as load_tensors

    path = Path(path)
    if sha256 is not None:
        verify(path, sha256)
    header = read_header(path)
    data = path.read_bytes()
    try:
        tensors = load_tensors(data)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(_damaged(path, str(error))) from error
    return Checkpoint(header, tensors, hashlib.sha256(data).hexdigest())


def _damaged(path: Path, why: str) -> str:
    return f"checkpoint '{path.name}' is damaged ({why}); its sha256 is {file_sha256(path)}"


__all__ = [
    "Checkpoint",
    "Header",
    "Snapshot",
    "file_sha256",
    "load",
    "read_header",
    "verify",
    "write_atomically",
]

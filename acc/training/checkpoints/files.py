"""Checkpoints: one safetensors file with everything that is needed to go on exactly. Torch-free to import.

Tensors: ``model.*``, ``head.<task key>.*``, ``optim.<parameter>/<slot>``, ``rng.*``, and ``state.*`` of what the
header's ``state`` names. The metadata entry ``acc`` holds the header as JSON. Equal states give equal bytes: nothing of
the clock or the place goes in.
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
from typing import TYPE_CHECKING

from acc.errors import CheckpointError
from acc.hashes import file_sha256
from acc.specs import TrainJobSpec
from acc.training.checkpoints.header import (
    METADATA_KEY,
    Header,
    damaged,
    parse_header,
    read_header,
)

if TYPE_CHECKING:
    from torch import Tensor

    from acc.training.plugin_set import PluginSet


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
        return self.header.spec

    def write(self, path: str | Path) -> str:
        """Write the file (temporary name, fsync, rename) and return its sha256.

        Safe to call from any thread. A failure (a full disk) leaves no file behind and raises OSError.
        """
        return write_atomically(Path(path), self.as_bytes())

    def as_bytes(self) -> bytes:
        """Return the content of its file."""
        from safetensors.torch import save

        return save(dict(self.tensors), metadata={METADATA_KEY: self.header.to_json()})

    def checkpoint(self) -> Checkpoint:
        """Return the same state as one that was read from a file, to go on from without writing it."""
        return Checkpoint(self.header, self.tensors, sha256="")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory: header, tensors on the CPU, and the sha256 of its file, '' for one without.

    classes: those of the training in this process that made it; with them nothing that the header carries is run.
    """

    header: Header
    tensors: Mapping[str, Tensor]
    sha256: str
    classes: PluginSet | None = field(default=None, compare=False, repr=False)

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


def from_bytes(data: bytes) -> Checkpoint:
    """Return the checkpoint that ``Snapshot.as_bytes`` gave, as if it was read from its file."""
    from safetensors.torch import load as load_tensors

    length = int.from_bytes(data[:8], "little")
    text = json.loads(data[8 : 8 + length])["__metadata__"][METADATA_KEY]
    return Checkpoint(parse_header(Path("the first checkpoint"), text), load_tensors(data), sha256="")


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
        raise CheckpointError(damaged(path, str(error))) from error
    return Checkpoint(header, tensors, hashlib.sha256(data).hexdigest())

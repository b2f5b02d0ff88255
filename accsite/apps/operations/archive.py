"""A backup: one tar file with every row as JSON lines and every stored file, each with its hash in a manifest.

Rows are Django's own serialisation, so a backup of SQLite restores into PostgreSQL and the other way round.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from acc.errors import InvalidInput

FORMAT = 1
MANIFEST = "manifest.json"
ROWS, BLOBS = "rows/", "blobs/"
CHUNK = 1 << 20


class Member(BaseModel):
    """One file of the archive: its size in bytes, its SHA-256 and, of rows, how many."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int
    sha256: str
    rows: int | None = None


class Manifest(BaseModel):
    """What an archive holds. migrations: the newest of each app, which the restoring site must have applied."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    version: str
    made_at: str
    vendor: str
    migrations: dict[str, str]
    members: dict[str, Member]


@dataclass
class Writer:
    """Writes members one after the other, and the manifest at the end."""

    file: IO[bytes]
    members: dict[str, Member] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._tar = tarfile.open(fileobj=self.file, mode="w|")  # noqa: SIM115 - closed by finish

    def add(self, name: str, source: IO[bytes], size: int, *, rows: int | None = None) -> None:
        """Add ``size`` bytes of ``source`` as ``name``."""
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o600
        hashing = _Hashing(source)
        self._tar.addfile(info, hashing)
        self.members[name] = Member(size=size, sha256=hashing.digest.hexdigest(), rows=rows)

    def finish(self, **facts: Any) -> Manifest:
        """Write the manifest and close the archive."""
        manifest = Manifest(format=FORMAT, members=self.members, **facts)
        text = manifest.model_dump_json(indent=1).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mode = len(text), 0o600
        self._tar.addfile(info, io.BytesIO(text))
        self._tar.close()
        return manifest


class _Hashing:
    """A file that is hashed while it is read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.digest.update(data)
        return data


class Reader:
    """A backup that is read; ``check`` it before anything is taken from it."""

    def __init__(self, path: Path) -> None:
        try:
            self._tar = tarfile.open(path, mode="r:")  # noqa: SIM115 - closed by close
        except (OSError, tarfile.TarError) as error:
            raise InvalidInput({"file": f"{path.name!r} is no backup of ACC: {error}"}) from None
        self._infos = {info.name: info for info in self._tar.getmembers()}
        self.manifest = self._manifest(path)

    def close(self) -> None:
        self._tar.close()

    def _manifest(self, path: Path) -> Manifest:
        try:
            with self.open(MANIFEST) as file:
                manifest = Manifest.model_validate(json.load(file))
        except (KeyError, ValueError, ValidationError):
            raise InvalidInput(
                {"file": f"{path.name!r} is no backup of ACC, or it was cut off: no manifest"}
            ) from None
        if manifest.format != FORMAT:
            raise InvalidInput(
                {"file": f"{path.name!r} has format {manifest.format}; this version reads format {FORMAT}"}
            )
        return manifest

    def check(self) -> None:
        """Raise InvalidInput unless every member is there, whole, and at a name that stays inside."""
        for name, member in self.manifest.members.items():
            inside = name.startswith((ROWS, BLOBS)) and ".." not in PurePosixPath(name).parts
            if not inside or "\\" in name:
                raise InvalidInput(file=f"the member {name!r} has a name that is not allowed in a backup")
            info = self._infos.get(name)
            if info is None or not info.isreg() or info.size != member.size:
                raise InvalidInput(
                    {"file": f"the member {name!r} is missing or has another size; the backup is damaged"}
                )
            digest = hashlib.sha256()
            with self.open(name) as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
            found = digest.hexdigest()
            if found != member.sha256:
                raise InvalidInput(
                    file=f"the member {name!r} is damaged: expected sha256 {member.sha256}, found {found}"
                )

    def open(self, name: str) -> IO[bytes]:
        """Return a member as a file; raises KeyError if there is none."""
        file = self._tar.extractfile(self._infos[name])
        if file is None:
            raise KeyError(name)
        return file

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names below a prefix, in the order in which they were written."""
        return (name for name in self.manifest.members if name.startswith(prefix))


def total(members: Iterable[Member]) -> int:
    return sum(member.size for member in members)

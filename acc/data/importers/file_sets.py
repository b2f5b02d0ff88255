"""Where a set of images lies: a folder or a zip archive. Neither is let out of itself, nor believed in its sizes."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from acc.data.importers.limits import check_bytes, refuse

MAX_FILES = 5_000_000
_IGNORED = {"thumbs.db", "desktop.ini"}
_TABLES = {".csv", ".tsv"}
_LISTS = ("list_", "identity_celeba")
_IGNORED_ENDINGS = {".txt", ".md", ".json", ".html"}


class FileSet(Protocol):
    """Files by their relative names, ``/`` between their parts."""

    names: list[str]
    tables: list[str]
    """Those that may tell the targets of the others, lists in ``.txt`` among them, which ``names`` leave out."""

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        ...


class Folder:
    """The files below a folder. Raises InvalidInput (file) for a link, or for more than is allowed."""

    def __init__(self, root: Path, *, max_bytes: int) -> None:
        self.root = root
        found: list[str] = []
        total = 0
        for folder, folders, files in os.walk(root, onerror=_raise):
            for each in [*folders, *files]:
                path = Path(folder, each)
                mode = path.lstat()
                name = path.relative_to(root).as_posix()
                if stat.S_ISLNK(mode.st_mode):
                    raise refuse(
                        root.name, f"holds the link '{name}'; only files and folders themselves are taken"
                    )
                if stat.S_ISREG(mode.st_mode):
                    total += mode.st_size
                    found.append(name)
                elif not stat.S_ISDIR(mode.st_mode):
                    raise refuse(root.name, f"holds '{name}', which is no plain file")
            _check_count(root.name, found)
        check_bytes(root.name, total, max_bytes)
        self.names, self.tables = _wanted(found), _tables(found)

    def read(self, name: str) -> bytes:
        handle = os.open(self.root / name, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as file:
            return file.read()


class Archive:
    """The files of a zip archive, read one by one and never unpacked to disk."""

    def __init__(self, archive: zipfile.ZipFile, name: str, *, max_bytes: int) -> None:
        self.archive, self.name = archive, name
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        found: list[str] = []
        for entry in entries:
            path = PurePosixPath(entry.filename)
            climbs = (
                path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename
            )
            if climbs:
                raise refuse(name, f"holds the path {entry.filename!r}, which leads out of the archive")
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise refuse(name, f"holds the link {entry.filename!r}; only files themselves are taken")
            if entry.flag_bits & 1:
                raise refuse(name, f"holds {entry.filename!r}, which is encrypted")
            found.append(entry.filename)
        _check_count(name, found)
        # zipfile reads no more of an entry than its directory says, so a bomb is caught here.
        check_bytes(name, sum(entry.file_size for entry in entries), max_bytes)
        if len(set(found)) != len(found):
            raise refuse(name, "holds two files of one name")
        self.names, self.tables = _wanted(found), _tables(found)

    def read(self, name: str) -> bytes:
        """Return the content of a file; raises InvalidInput (file) when it is damaged."""
        try:
            return self.archive.read(name)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            RuntimeError,
            KeyError,
        ) as error:
            raise refuse(self.name, f"is damaged at '{name}': {error}") from error


@contextmanager
def opened(path: Path, *, max_bytes: int) -> Iterator[FileSet]:
    """Open a folder or a zip archive; raises InvalidInput (file)."""
    try:
        if path.is_dir():
            yield Folder(path, max_bytes=max_bytes)
            return
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise refuse(path.name, f"is not a whole zip archive: {error}") from error
        with archive:
            yield Archive(archive, path.name, max_bytes=max_bytes)
    except OSError as error:
        raise refuse(path.name, f"cannot be read: {error.strerror or error}") from error


def _check_count(name: str, found: list[str]) -> None:
    if len(found) > MAX_FILES:
        raise refuse(name, f"holds more than {MAX_FILES:,} files")


def _wanted(names: list[str]) -> list[str]:
    """Return the names without what systems and people leave between images."""
    return [name for name in names if not _is_ignored(PurePosixPath(name))]


def _tables(names: list[str]) -> list[str]:
    """Return the names of tables, and of lists as CelebA has them."""
    paths = [PurePosixPath(name) for name in names]
    return [
        name
        for name, path in zip(names, paths, strict=True)
        if not _is_hidden(path)
        and (
            path.suffix.lower() in _TABLES
            or (path.suffix.lower() == ".txt" and path.name.lower().startswith(_LISTS))
        )
    ]


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _is_ignored(path: PurePosixPath) -> bool:
    return _is_hidden(path) or path.name.lower() in _IGNORED or path.suffix.lower() in _IGNORED_ENDINGS


def _raise(error: OSError) -> None:
    raise error

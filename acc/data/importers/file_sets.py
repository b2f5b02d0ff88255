"""Where a set of files lies: a folder, a zip or a tar archive. None is let out of itself, nor believed in its sizes."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import resource
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from acc.data.importers.descriptors import opened_below, through
from acc.data.importers.limits import check_bytes, refuse
from acc.errors import InvalidInput

MAX_FILES = 5_000_000
MAX_READ_BYTES = 2**30
"""Of one file that is read as a whole: a picture or a table. Arrays are copied in pieces."""
MAX_NAME_BYTES = 255
OTHERS_OPEN = 512
"""Files that a process may have open beside those of a source."""
_NO_TEXT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_PIECE_BYTES = 1 << 20
_HEADER_BYTES = 1 << 20
"""Of what a tar archive says of one file, such as a long name; tarfile reads as much as is claimed."""
_IGNORED = {"thumbs.db", "desktop.ini"}
_TABLES = {".csv", ".tsv"}
_LISTS = ("list_", "identity_celeba")
_IGNORED_ENDINGS = {".txt", ".md", ".json", ".html"}


class FileSet(Protocol):
    """Files by their relative names, ``/`` between their parts."""

    all: list[str]
    """Every file that is not hidden."""
    names: list[str]
    tables: list[str]
    """Those that may tell the targets of the others, lists in ``.txt`` among them, which ``names`` leave out."""

    def read(self, name: str) -> bytes:
        """Return the content of a file; raises InvalidInput (file) for one that is damaged, or too large for that."""
        ...

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file."""
        ...


class Folder:
    """The files below a folder, for as long as ``stack``; all are reached from the folder itself, by no link.

    Raises InvalidInput (file) for a link, or for more than is allowed.
    """

    def __init__(self, root: Path, stack: ExitStack, *, max_bytes: int) -> None:
        self.name = root.name
        self._root = opened_below(root, (), stack)
        found: list[str] = []
        total = 0
        for folder, folders, files, handle in os.fwalk(".", dir_fd=self._root, onerror=_raise):
            for each in [*folders, *files]:
                status = os.stat(each, dir_fd=handle, follow_symlinks=False)
                name = PurePosixPath(folder, each).as_posix()
                _check_name(self.name, name)
                if stat.S_ISLNK(status.st_mode):
                    raise refuse(
                        self.name, f"holds the link '{name}'; only files and folders themselves are taken"
                    )
                if stat.S_ISREG(status.st_mode):
                    total += status.st_size
                    found.append(name)
                elif not stat.S_ISDIR(status.st_mode):
                    raise refuse(self.name, f"holds '{name}', which is no plain file")
            _check_count(self.name, found)
        check_bytes(self.name, total, max_bytes)
        self.all, self.names, self.tables = _shown(found), _wanted(found), _tables(found)

    def read(self, name: str) -> bytes:
        return _whole(self.pieces(name), self.name, name)

    def pieces(self, name: str) -> Iterator[bytes]:
        with os.fdopen(self._opened(name), "rb") as file:
            yield from _pieces_of(file)

    def pin(self, names: Sequence[str], place: Path, stack: ExitStack) -> None:
        """Open files for as long as ``stack``, and put into the folder ``place`` what leads to them, by their paths."""
        _allow_open(len(names), self.name)
        for name in names:
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(through(self._opened(name, stack)))

    def _opened(self, name: str, stack: ExitStack | None = None) -> int:
        try:
            return opened_below(self._root, PurePosixPath(name).parts, stack)
        except OSError as error:
            raise refuse(self.name, f"has '{name}', which cannot be read: {error.strerror}") from error


class Archive:
    """The files of a zip archive, read one by one and never unpacked to disk."""

    def __init__(self, archive: zipfile.ZipFile, name: str, *, max_bytes: int) -> None:
        self.archive, self.name = archive, name
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        found: list[str] = []
        for entry in entries:
            _check_path(name, entry.filename)
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise refuse(name, f"holds the link {entry.filename!r}; only files themselves are taken")
            if entry.flag_bits & 1:
                raise refuse(name, f"holds {entry.filename!r}, which is encrypted")
            found.append(entry.filename)
        _check_count(name, found)
        # zipfile reads no more of an entry than its directory says, so a bomb is caught here.
        check_bytes(name, sum(entry.file_size for entry in entries), max_bytes)
        _check_names(name, found)
        self.all, self.names, self.tables = _shown(found), _wanted(found), _tables(found)

    def read(self, name: str) -> bytes:
        return _whole(self.pieces(name), self.name, name)

    def pieces(self, name: str) -> Iterator[bytes]:
        try:
            with self.archive.open(name) as file:
                yield from _pieces_of(file)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            RuntimeError,
            KeyError,
        ) as error:
            raise refuse(self.name, f"is damaged at '{name}': {error}") from error


class Tar:
    """The files of a tar archive that is not packed, read one by one and never unpacked to disk."""

    def __init__(
        self, archive: tarfile.TarFile, file: IO[bytes], name: str, *, size: int, max_bytes: int
    ) -> None:
        self.name = name
        self._file = file
        self._places: dict[str, tuple[int, int]] = {}
        found: list[str] = []
        total, end = 0, 0
        for entry in archive:
            end = max(end, entry.offset_data + -(-entry.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
            path = entry.name.removeprefix("./")
            if entry.isdir():
                continue
            _check_path(name, path)
            if entry.issym() or entry.islnk():
                raise refuse(name, f"holds the link {path!r}; only files themselves are taken")
            if not entry.isreg() or entry.sparse is not None:
                raise refuse(name, f"holds {path!r}, which is no plain file")
            total += entry.size
            found.append(path)
            self._places[path] = entry.offset_data, entry.size
            _check_count(name, found)
            check_bytes(name, total, max_bytes)
        self._file.seek(end)
        if end + tarfile.BLOCKSIZE > size or self._file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise refuse(name, "is not a whole tar archive: its end is missing")
        _check_names(name, found)
        self.all, self.names, self.tables = _shown(found), _wanted(found), _tables(found)

    def read(self, name: str) -> bytes:
        return _whole(self.pieces(name), self.name, name)

    def pieces(self, name: str) -> Iterator[bytes]:
        place, left = self._places[name]
        while left:
            self._file.seek(place)
            piece = self._file.read(min(left, _PIECE_BYTES))
            if not piece:
                raise refuse(self.name, f"ends within '{name}'")
            yield piece
            place, left = place + len(piece), left - len(piece)


class _Headers:
    """A tar archive as tarfile reads it, which goes over what files hold: no more than a header at once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if size > _HEADER_BYTES:
            raise tarfile.ReadError(f"what it says of one file takes {size:,} bytes")
        return self._file.read(size)


def _pieces_of(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE_BYTES):
        yield piece


def _whole(pieces: Iterator[bytes], file: str, name: str) -> bytes:
    found = bytearray()
    for piece in pieces:
        found += piece
        if len(found) > MAX_READ_BYTES:
            raise refuse(
                file, f"holds '{name}' of more than {MAX_READ_BYTES:,} bytes, which is far too large"
            )
    return bytes(found)


PACKED: Mapping[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
"""What opens a file that is packed as a whole, by what it begins with."""
PACKED_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, OSError, ValueError)


def lies_beside(path: Path, beside: Path) -> bool:
    """Return whether a file that was not named is there, and no link unless the one that was named is.

    Of a path of the server the links were followed; a link beside it may lead anywhere.
    """
    return beside.is_file() and (path.is_symlink() or not beside.is_symlink())


def is_tar(head: bytes) -> bool:
    """Return whether the first 512 bytes of a file are those of a tar archive."""
    return head[257:262] == b"ustar"


def opened(path: Path, stack: ExitStack, *, max_bytes: int, scratch: Path | None = None) -> FileSet:
    """Open a folder, a zip or a tar archive, packed or not, for as long as ``stack``; raises InvalidInput (file).

    scratch: where a packed tar is unpacked to, as one file that is gone afterwards.
    """
    try:
        if path.is_dir():
            return Folder(path, stack, max_bytes=max_bytes)
        with path.open("rb") as file:
            head = file.read(tarfile.BLOCKSIZE)
        packed = next((PACKED[magic] for magic in PACKED if head.startswith(magic)), None)
        if packed is not None:
            plain = stack.enter_context(tempfile.TemporaryFile(dir=scratch))  # noqa: SIM115 - the stack closes it
            _unpack(packed(path), plain, path.name, max_bytes)
            return _tar(plain, path.name, stack, max_bytes)
        if is_tar(head):
            return _tar(stack.enter_context(path.open("rb")), path.name, stack, max_bytes)
        archive = stack.enter_context(zipfile.ZipFile(path))
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise refuse(path.name, f"is not a whole zip archive: {error}") from error
    except OSError as error:
        raise refuse(path.name, f"cannot be read: {error.strerror or error}") from error
    return Archive(archive, path.name, max_bytes=max_bytes)


def _unpack(packed: IO[bytes], plain: IO[bytes], name: str, max_bytes: int) -> None:
    size = 0
    with packed:
        while True:
            try:
                piece = packed.read(1 << 20)
            except PACKED_DAMAGED as error:
                raise refuse(name, f"is damaged where it is packed: {error}") from error
            if not piece:
                return
            size += len(piece)
            # A tar has up to two blocks of its own for each file.
            check_bytes(name, size, 2 * max_bytes)
            plain.write(piece)


def _tar(file: IO[bytes], name: str, stack: ExitStack, max_bytes: int) -> Tar:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        headers: Any = _Headers(file)
        archive = stack.enter_context(tarfile.open(fileobj=headers, mode="r:"))  # noqa: SIM115 - as above
        return Tar(archive, file, name, size=size, max_bytes=max_bytes)
    except tarfile.TarError as error:
        raise refuse(name, f"is not a whole tar archive: {error}") from error


def _allow_open(count: int, name: str) -> None:
    """Let this process have so many files more open at once; raises InvalidInput (file) where it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + OTHERS_OPEN
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise refuse(name, f"holds {count:,} files of arrays; {hard:,} files may be open at once here")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def copied(files: FileSet, names: Iterable[str], folder: Path) -> None:
    """Copy files of a set into a folder; their paths have been checked."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.writelines(files.pieces(name))


def _check_path(file: str, name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise refuse(file, f"holds the path {name!r}, which leads out of the archive")
    _check_name(file, name)
    if any(len(part.encode()) > MAX_NAME_BYTES for part in path.parts):
        raise refuse(file, f"holds the name '{name[:60]}...', which is longer than {MAX_NAME_BYTES} bytes")


def _check_name(file: str, name: str) -> None:
    """Raise InvalidInput (file) for a name that cannot be shown or kept: bytes that are not UTF-8, control signs."""
    if _NO_TEXT.search(name):
        raise refuse(file, f"holds a file called {name[:60]!r}; give it a name that is plain text in UTF-8")


def _check_names(file: str, names: list[str]) -> None:
    known = set(names)
    if len(known) != len(names):
        raise refuse(file, "holds two files of one name")
    both = next((name for name in names for each in _folders_of(name) if each in known), None)
    if both is not None:
        raise refuse(file, f"holds '{both}' below what is a file itself")


def _folders_of(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _check_count(name: str, found: list[str]) -> None:
    if len(found) > MAX_FILES:
        raise refuse(name, f"holds more than {MAX_FILES:,} files")


def _shown(names: list[str]) -> list[str]:
    return [
        name
        for name in names
        if not _is_hidden(PurePosixPath(name)) and PurePosixPath(name).name.lower() not in _IGNORED
    ]


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

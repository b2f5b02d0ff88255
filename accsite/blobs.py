"""Datasets, weights and pictures at rest: stored by content in Django's default storage, verified when read.

A file is whole and on the disk before the row that names it is committed. Local storage gets a rename; any
other (an S3 bucket, say) gets an upload, and readers a copy in the cache folder.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, default_storage, storages

from acc.errors import AccError, InvalidInput
from acc.hashes import file_sha256
from accsite.home import FILE_MODE

_verified: dict[str, tuple[int, int, str]] = {}  # path -> (mtime in ns, size in bytes, sha256)
_lock = threading.Lock()


class BlobDamaged(AccError):
    """A stored file that is missing, or is not what its row says. The text names both hashes."""


def name_of(prefix: str, sha256: str, suffix: str = ".safetensors") -> str:
    """Return the name in storage of content with this hash."""
    return f"{prefix}/{sha256}{suffix}"


def store(path: Path, prefix: str, sha256: str, *, suffix: str = ".safetensors", keep: bool = False) -> str:
    """Move the file ``path`` into storage and return its name, ``prefix/<sha256><suffix>``.

    A file of that content that is there already, and undamaged, is kept. With ``keep`` the file stays at
    ``path`` as well, for one who may have to try again; it costs no room where both are on one file system.
    """
    name = name_of(prefix, sha256, suffix)
    local = _local(name)
    if local is None:
        if not default_storage.exists(name):
            with path.open("rb") as file:
                name = default_storage.save(name, File(file))
    elif not _is_there(local, path.stat().st_size, sha256):
        _put(path, local)
        _note(local, sha256)
    if not keep:
        path.unlink()
    return name


def scratch_copy(source: Any, name: str) -> Path:
    """Return an upload (chunks of bytes) as a file in the scratch folder; the caller removes it."""
    folder = Path(tempfile.mkdtemp(dir=scratch(), prefix="upload-"))
    path = folder / (Path(name).name or "upload")
    try:
        size = 0
        with path.open("wb") as file:
            for chunk in source:
                size += len(chunk)
                if size > settings.ACC_IMPORT_BYTES:
                    raise InvalidInput({"file": f"it is larger than {settings.ACC_IMPORT_BYTES} bytes"})
                file.write(chunk)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return path


def write_named(data: bytes, name: str) -> None:
    """Store ``data`` whole or not at all, under a name that is not of its own hash: who ends in between leaves none."""
    handle, draft = tempfile.mkstemp(dir=scratch(), suffix=Path(name).suffix)
    path, local = Path(draft), _local(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        if local is not None:
            _put(path, local)
        elif not default_storage.exists(name):
            with path.open("rb") as whole:
                default_storage.save(name, File(whole))
    finally:
        path.unlink(missing_ok=True)


def write_bytes(data: bytes, prefix: str, suffix: str) -> tuple[str, str]:
    """Store ``data`` and return its name in storage and its SHA-256."""
    handle, name = tempfile.mkstemp(dir=scratch(), suffix=suffix)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sha256 = hashlib.sha256(data).hexdigest()
        return store(path, prefix, sha256, suffix=suffix), sha256
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def open_local(name: str, sha256: str) -> Path:
    """Return a local path of a stored file whose content is verified; remote files are cached by hash.

    Raises BlobDamaged naming the file and both hashes. A file is hashed again when its time or size changed.
    """
    path = _local(name)
    if path is not None:
        found = _verify(path, sha256)
    else:
        path = _cached(name, sha256)
        found = _verify(path, sha256)
        if found != sha256:  # the copy may have suffered here, and not the original
            path.unlink(missing_ok=True)
            found = _verify(_cached(name, sha256), sha256)
    if found is None:
        raise BlobDamaged(
            f"'{name}' is missing from storage; expected sha256 {sha256}; restore it from a backup"
        )
    if found != sha256:
        raise BlobDamaged(
            f"'{name}' is damaged: expected sha256 {sha256}, found {found}; restore it from a backup"
        )
    return path


def open_written(name: str, sha256: str) -> Path:
    """Return a local path of a stored file that this site has hashed before, without hashing it again.

    For showing parts of large files at once. A file whose size, time or place on the disk is not what was noted when
    it was written or last verified is verified like any other. Raises BlobDamaged.
    """
    local = _local(name)
    path = local if local is not None else _cached_path(name, sha256)
    try:
        if _notes(sha256).read_text() == _marks(path):
            return path
    except FileNotFoundError:
        pass
    return open_local(name, sha256)


def at_hand(name: str, sha256: str) -> Path | None:
    """Return a local path of a stored file, unverified, to look into; None for one that would have to be fetched."""
    path = _local(name) or _cached_path(name, sha256)
    return path if path.is_file() else None


def delete(name: str) -> None:
    """Remove a stored file, and what this machine keeps of it; one that is not there is no error."""
    default_storage.delete(name)
    sha256 = Path(name).stem
    _cached_path(name, sha256).unlink(missing_ok=True)
    _notes(sha256).unlink(missing_ok=True)


def scratch() -> Path:
    """Return the folder for unfinished files: beside the local blobs, so that storing is a rename."""
    base = _local("x")
    folder = (base.parent if base is not None else Path(settings.HOME)) / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _put(path: Path, local: Path) -> None:
    """Have ``local`` be what ``path`` is, by a rename: nobody ever sees a part of it."""
    local.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(local)
    try:
        try:
            os.link(path, temporary)
        except OSError:  # another file system, or one without links
            shutil.copyfile(path, temporary)
        temporary.chmod(FILE_MODE)
        _sync(temporary)
        temporary.replace(local)
        _sync(local.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _local(name: str) -> Path | None:
    storage = storages["default"]
    return Path(storage.path(name)) if isinstance(storage, FileSystemStorage) else None


def _verify(path: Path, sha256: str) -> str | None:
    """Return the file's SHA-256, from memory if it was ``sha256`` and time and size are the same; None: no file."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    key = (stat.st_mtime_ns, stat.st_size, sha256)
    with _lock:
        if _verified.get(str(path)) == key:
            return sha256
    found = file_sha256(path)
    if found == sha256:
        with _lock:
            _verified[str(path)] = key
        _note(path, sha256)
    return found


def _notes(sha256: str) -> Path:
    return Path(settings.HOME) / "verified" / sha256


def _marks(path: Path) -> str:
    """Return what tells that a file was not changed or replaced since it was hashed."""
    stat = path.stat()
    return f"{path} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"


def _note(path: Path, sha256: str) -> None:
    """Note that the file at ``path`` has this hash; without a note it is only hashed once more."""
    notes = _notes(sha256)
    try:
        notes.parent.mkdir(parents=True, exist_ok=True)
        draft = notes.with_name(f".noting-{secrets.token_hex(8)}")
        draft.write_text(_marks(path))
        draft.replace(notes)
    except OSError:  # a home that is full or read-only
        return


def _is_there(local: Path, size: int, sha256: str) -> bool:
    return local.is_file() and local.stat().st_size == size and file_sha256(local) == sha256


def _beside(local: Path) -> Path:
    """Return a path in the same folder that nobody else uses; there is no file yet."""
    return local.with_name(f".storing-{secrets.token_hex(8)}")


def _cached(name: str, sha256: str) -> Path:
    path = _cached_path(name, sha256)
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return path
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".fetching-")
    try:
        with os.fdopen(handle, "wb") as file, default_storage.open(name) as source:
            shutil.copyfileobj(source, file)
        Path(temporary).replace(path)
    except FileNotFoundError:
        Path(temporary).unlink(missing_ok=True)  # so that there is none here either
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _cached_path(name: str, sha256: str) -> Path:
    return Path(settings.HOME) / "cache" / f"{sha256}{Path(name).suffix}"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Datasets, weights and pictures at rest: stored by content in Django's default storage, verified when read.

A file is whole and on the disk before the row that names it is committed. Local storage gets a rename; any
other (an S3 bucket, say) gets an upload, and readers a copy in the cache folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from pathlib import Path

from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, default_storage

_verified: dict[str, tuple[int, int, str]] = {}  # path -> (mtime in ns, size in bytes, sha256)
_lock = threading.Lock()


class BlobDamaged(Exception):
    """A stored file that is missing, or is not what its row says. The text names both hashes."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def store(path: Path, prefix: str, sha256: str, *, suffix: str = ".safetensors") -> str:
    """Move the file ``path`` into storage and return its name, ``prefix/<sha256><suffix>``.

    A file of that content that is there already, and undamaged, is kept and ``path`` removed.
    """
    name = f"{prefix}/{sha256}{suffix}"
    local = _local(name)
    if local is None:
        if not default_storage.exists(name):
            with path.open("rb") as file:
                default_storage.save(name, File(file))
        path.unlink()
        return name
    if local.exists() and local.stat().st_size == path.stat().st_size and sha256_of(local) == sha256:
        path.unlink()
        return name
    local.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.replace(local)
    except OSError:  # another file system: copy beside the place, then rename
        temporary = Path(tempfile.mkstemp(dir=local.parent, prefix=".moving-")[1])
        try:
            shutil.copyfile(path, temporary)
            _sync(temporary)
            temporary.replace(local)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        path.unlink()
    local.chmod(0o640)
    _sync(local)
    _sync(local.parent)
    return name


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
    if path is None:
        path = _cached(name, sha256)
    try:
        stat = path.stat()
    except FileNotFoundError:
        raise BlobDamaged(f"'{name}' is missing from storage; expected sha256 {sha256}") from None
    key = (stat.st_mtime_ns, stat.st_size, sha256)
    with _lock:
        if _verified.get(str(path)) == key:
            return path
    found = sha256_of(path)
    if found != sha256:
        raise BlobDamaged(
            f"'{name}' is damaged: expected sha256 {sha256}, found {found}; restore it from a backup"
        )
    with _lock:
        _verified[str(path)] = key
    return path


def delete(name: str) -> None:
    """Remove a stored file; one that is not there is no error."""
    default_storage.delete(name)


def scratch() -> Path:
    """Return the folder for unfinished files: beside the local blobs, so that storing is a rename."""
    base = _local("x")
    folder = (base.parent if base is not None else Path(settings.HOME)) / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _local(name: str) -> Path | None:
    storage = default_storage
    return Path(storage.path(name)) if isinstance(_unwrapped(storage), FileSystemStorage) else None


def _unwrapped(storage: object) -> object:
    wrapped = getattr(storage, "_wrapped", storage)
    if type(wrapped) is object:  # a LazyObject that nobody has touched yet
        storage._setup()  # type: ignore[attr-defined]
        wrapped = storage._wrapped  # type: ignore[attr-defined]
    return wrapped


def _cached(name: str, sha256: str) -> Path:
    folder = Path(settings.HOME) / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{sha256}{Path(name).suffix}"
    if path.exists():
        return path
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".fetching-")
    try:
        with os.fdopen(handle, "wb") as file, default_storage.open(name) as source:
            shutil.copyfileobj(source, file)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

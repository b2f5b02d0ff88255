"""Uploaded files that wait for their import: taken in whole, and deleted once nobody is to read them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile
from django.utils import timezone

from acc.data.importers import disk_full, is_disk_full
from acc.errors import InvalidInput
from accsite import blobs
from accsite.apps.datasets.services import on_server
from accsite.apps.datasets.services.imports import (
    GRACE,
    UPLOADS,
    OnServer,
    SourceFiles,
    Upload,
    Uploads,
    uploads_in_use,
)
from accsite.apps.jobs.models import Job

MAX_NAME = 120
WORK_FOLDER = "importing-"


def source_of(files: Sequence[UploadedFile[Any]], *, paths: str = "", path: str = "") -> SourceFiles:
    """Return what is to be imported: files that were uploaded, or those at ``path`` on the server.

    Raises InvalidInput (file, paths, path) for neither or both.
    """
    if path and files:
        raise InvalidInput({"path": "upload files, or give a path on the server, not both"})
    if path:
        return OnServer(str(on_server.found(path)))
    if not files:
        raise InvalidInput({"file": "choose the file that holds the images"})
    return keep_all(files, paths=paths)


def keep_all(files: Sequence[UploadedFile[Any]], *, paths: str = "") -> Upload | Uploads:
    """Put the uploaded files of one source into storage and return what an import job is told of them.

    Several are read as the folder that they lie in: ``paths``, a JSON list, says where in it each lies; without it they
    lie beside each other. Raises InvalidInput (file, paths), and leaves nothing behind then.
    """
    places = _places(paths, [file.name or "" for file in files])
    if len(files) == 1:
        return keep(files[0])
    # Systems leave hidden files in folders.
    pairs = [(file, at) for file, at in zip(files, places, strict=True) if not _is_hidden(at)]
    files, places = [file for file, _ in pairs], [at for _, at in pairs]
    if not files:
        raise InvalidInput(
            {"file": "all files are hidden ones, whose names begin with a point; none is read"}
        )
    size = sum(file.size or 0 for file in files)
    if size > settings.ACC_MAX_DATASET_BYTES:
        limit = settings.ACC_MAX_DATASET_BYTES
        raise InvalidInput({"file": f"the files have {size:,} bytes; at most {limit:,} are allowed"})
    kept: list[Upload] = []
    try:
        for file, place in zip(files, places, strict=True):
            kept.append(keep(file, name=place))
    except BaseException:
        for each in kept:
            blobs.delete(each.file)
        raise
    top = {place.partition("/")[0] for place in places if "/" in place}
    alone = len(top) == 1 and all("/" in place for place in places)
    return Uploads(top.pop() if alone else Path(places[0]).stem, tuple(kept))


def _places(paths: str, names: Sequence[str]) -> list[str]:
    """Return where each file lies in its folder; raises InvalidInput (paths) unless each has a place of its own."""
    try:
        told = json.loads(paths) if paths else list(names)
    except ValueError:
        told = None
    if not isinstance(told, list) or len(told) != len(names) or not all(isinstance(at, str) for at in told):
        raise InvalidInput({"paths": f"give a JSON list of {len(names):,} paths, one for each file"})
    places = [
        "/".join(_part_name(part) for part in at.replace("\\", "/").split("/") if part.strip("."))
        for at in told
    ]
    nowhere = next((at for at, place in zip(told, places, strict=True) if not place), None)
    if nowhere is not None:
        raise InvalidInput(
            {"paths": f"{nowhere!r} is no path of a file; give one for each, such as train/1.png"}
        )
    folders = {str(folder) for place in places for folder in PurePath(place).parents}
    twice = next((at for at, count in Counter(places).items() if count > 1 or at in folders), None)
    if twice is not None:
        raise InvalidInput({"paths": f"'{twice}' is the name of two files; give each a name of its own"})
    return places


def _part_name(part: str) -> str:
    """Return one part of a path as a safe name; that of a hidden file stays one."""
    return f"{'.' if part.startswith('.') else ''}{file_name(part)}"


def _is_hidden(place: str) -> bool:
    return any(part.startswith(".") for part in place.split("/"))


def keep(file: UploadedFile[Any], *, field: str = "file", name: str = "") -> Upload:
    """Put an uploaded file into storage and return what an import job is told of it.

    Raises InvalidInput (``field``) for an empty file, one larger than ACC_MAX_DATASET_BYTES, and a full disk;
    nothing is left behind then.
    """
    name = name or file_name(file.name or "")
    if not file.size:
        raise InvalidInput({field: f"'{name}' is empty"})
    if file.size > settings.ACC_MAX_DATASET_BYTES:
        limit = settings.ACC_MAX_DATASET_BYTES
        raise InvalidInput({field: f"'{name}' has {file.size:,} bytes; at most {limit:,} are allowed"})
    handle, draft = tempfile.mkstemp(dir=blobs.scratch(), prefix="upload-")
    path, digest = Path(draft), hashlib.sha256()
    try:
        with os.fdopen(handle, "wb") as out:
            for chunk in file.chunks():
                out.write(chunk)
                digest.update(chunk)
            out.flush()
            os.fsync(out.fileno())
        # A file of its own, also of content that another has uploaded, whose job may be deleting its file right now.
        sha256, suffix = digest.hexdigest(), f".{secrets.token_hex(8)}"
        return Upload(blobs.store(path, UPLOADS, sha256, suffix=suffix), sha256, name)
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(path.parent, file.size) from error
        raise
    finally:
        path.unlink(missing_ok=True)


def file_name(name: str) -> str:
    """Return a name that is safe as a file's: its last part, plain characters, the ending kept."""
    last = PurePath(name.replace("\\", "/")).name
    plain = re.sub(r"[^\w.()\[\] +-]", "_", last).strip(". ") or "upload"
    return plain[-MAX_NAME:].lstrip(". ") or "upload"


def purge() -> list[str]:
    """Delete uploads that no import is to read any more, and what killed imports left; return their names."""
    wanted = set(uploads_in_use())
    active = set(Job.objects.active().values_list("pk", flat=True))
    for folder in blobs.scratch().glob(f"{WORK_FOLDER}*"):
        pk = folder.name.removeprefix(WORK_FOLDER)
        if not pk.isdecimal() or int(pk) not in active:
            shutil.rmtree(folder, ignore_errors=True)
    try:
        files = default_storage.listdir(UPLOADS)[1]
    except FileNotFoundError:
        return []
    due = timezone.now() - GRACE
    gone = []
    for each in files:
        name = f"{UPLOADS}/{each}"
        if name not in wanted and default_storage.get_modified_time(name) < due:
            blobs.delete(name)
            gone.append(name)
    return gone

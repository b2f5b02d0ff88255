"""Uploaded files that wait for their import: taken in whole, and deleted once nobody is to read them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path, PurePath
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile
from django.utils import timezone

from acc.data.importers import disk_full, is_disk_full
from acc.errors import InvalidInput
from accsite import blobs
from accsite.apps.datasets.services.generation import UPLOADS, Upload, uploads_in_use
from accsite.apps.jobs.models import Job, JobKind

GRACE = timedelta(hours=1)
"""How long a file may lie in storage before the job is committed that names it."""
MAX_NAME = 120
WORK_FOLDER = "importing-"


def keep(file: UploadedFile[Any], *, field: str = "file") -> Upload:
    """Put an uploaded file into storage and return what an import job is told of it.

    Raises InvalidInput (``field``) for an empty file, one larger than ACC_MAX_DATASET_BYTES, and a full disk;
    nothing is left behind then.
    """
    name = file_name(file.name or "")
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
        sha256 = digest.hexdigest()
        return Upload(blobs.store(path, UPLOADS, sha256, suffix=""), sha256, name)
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
    active = set(Job.objects.active().filter(kind=JobKind.IMPORT).values_list("pk", flat=True))
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

"""Takes an uploaded file in as a dataset. What is refused leaves nothing behind, the upload included."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings

from acc.data import tensor_files
from acc.data.importers import Answers, Look, read
from acc.errors import InvalidInput
from accsite import blobs
from accsite.apps.datasets.services import generation
from accsite.apps.datasets.services.uploads import WORK_FOLDER
from accsite.apps.jobs.models import Job
from workers.job import promises
from workers.job.context import JobContext
from workers.job.interruptible import interruptible
from workers.job.interruption import Interrupted
from workers.job.progress import Progress
from workers.job.store import draft_path, store_dataset, write_draft

log = structlog.get_logger(__name__)


@interruptible
def take_in(context: JobContext) -> None:
    """Import the file of a job and finish it."""
    try:
        _take_in(context)
    except (InvalidInput, Interrupted) as error:
        goes_on = isinstance(error, Interrupted) and error.reason != "stop"
        if not goes_on and not context.job.spec.get(
            "looked"
        ):  # what was looked at may be asked for again within a day
            generation.drop_uploads(context.job)
        raise
    if not context.job.spec.get("look"):
        generation.drop_uploads(context.job)


def _take_in(context: JobContext) -> None:
    spec = context.job.spec
    began = time.perf_counter()
    path = draft_path(context)
    look = Look(Answers(**spec.get("answers", {})), looking=spec.get("look", False))
    with _folder(context.job.pk) as folder:
        with context.interruption.raising(), Progress(context, None) as progress:
            data, provenance = read(
                _named(folder, spec["upload"]),
                look,
                labels=_named(folder, spec["labels"]) if spec["labels"] else None,
                max_bytes=settings.ACC_MAX_DATASET_BYTES,
                pixels=spec["pixels"],
                progress=lambda fraction: progress(0.9 * fraction),
                read_tensors=tensor_files.read,
            )
            if look.looking:
                promises.succeed(context, {"images": len(data), "look": look.as_dict()}, proof=looked)
                return
            write_draft(data, path)
            progress(1.0)
        seconds = time.perf_counter() - began
        slug = store_dataset(context, data, path, name=spec["name"], provenance=provenance, seconds=seconds)
    log.info("imported", dataset=slug, seconds=round(seconds, 3))


@contextmanager
def _folder(job: int) -> Iterator[Path]:
    """Give a folder of this job alone; what an attempt that was killed left in it is removed first."""
    folder = blobs.scratch() / f"{WORK_FOLDER}{job}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _named(folder: Path, upload: dict[str, Any]) -> Path:
    """Return the uploaded file under the name that its owner gave it; the ending tells what it claims to be."""
    source = blobs.open_local(upload["file"], upload["sha256"])
    path: Path = folder / upload["name"]
    if path.exists():
        path = folder / f"labels-{upload['name']}"
    try:
        os.link(source, path)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, path)
    return path


def looked(_job: Job, result: dict[str, Any], _message: str) -> None:
    if not result.get("look"):
        raise promises.PromiseBroken("what was found in the file was not told")

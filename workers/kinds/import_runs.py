"""Takes over the runs of a store of another tracker that lies on the server."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings

from acc.data.importers.file_sets import Folder
from acc.errors import InvalidInput
from accsite.apps.datasets.services import on_server
from accsite.apps.jobs.models import Job
from accsite.apps.training.services import stores
from workers.job import promises
from workers.job.context import JobContext
from workers.job.interruptible import interruptible
from workers.job.progress import Progress
from workers.kinds.imports import folder_of

log = structlog.get_logger(__name__)

SQLITE = b"SQLite format 3\0"


@interruptible
def import_runs(context: JobContext) -> None:
    """Take over what is new in the store of a job, and finish it."""
    spec, actor = context.job.spec, context.job.created_by
    if actor is None:  # who has asked for it is no user any more, and nobody's rights are taken for theirs
        raise InvalidInput(path="whoever asked for this is gone; ask for it again")
    with ExitStack() as stack, folder_of(context.job.pk) as folder:
        path = _placed(spec["path"], folder, stack)
        with context.interruption.raising(), Progress(context, None) as progress:
            found = []
            for run in stores.take_over(actor=actor, path=path, experiment=spec["experiment"]):
                found.append(run)
                log.info("run_taken_over", run=str(run))
                for fault in run.faults:
                    log.warning("not_all_was_read", branch=run.branch, why=fault)
            progress(1.0)
    faults = [f"{run.branch}: {fault}" for run in found for fault in run.faults]
    message = f"{len(faults):,} things could not be read, the first: {faults[0]}" if faults else ""
    promises.succeed(context, {"runs": [asdict(run) for run in found]}, message, proof=taken_over)


def _placed(text: str, folder: Path, stack: ExitStack) -> Path:
    """Return where the store is read: by what was opened in its place, without links, a database as a copy."""
    path = on_server.pinned(text, folder / "source", stack)
    whole = folder / "whole"
    whole.mkdir()
    if path.is_dir():
        files = Folder(path, stack, max_bytes=settings.ACC_MAX_DATASET_BYTES)
        inner = whole / path.name
        inner.mkdir()
        files.pin(files.all, inner, stack)
        return inner
    with path.open("rb") as file:
        if file.read(len(SQLITE)) != SQLITE:
            return path
    for each in (path, path.with_name(f"{path.name}-wal")):
        if each.is_file():
            shutil.copyfile(each, whole / each.name)
    return whole / path.name


def taken_over(_job: Job, result: dict[str, Any], _message: str) -> None:
    if not result.get("runs"):
        raise promises.PromiseBroken("what was taken over was not told")

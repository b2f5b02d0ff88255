"""Keeps the dataset that a job has made: the file first, then its row, in one transaction with the job's end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db import transaction

from acc.data import AccDataset
from acc.data.importers import disk_full, is_disk_full
from accsite.apps.datasets import services as datasets
from accsite.apps.training.errors import Fenced
from accsite.apps.training.services import lifecycle
from workers import copies, joblog, promises
from workers.durable import insist
from workers.held import Held


def draft_of(held: Held) -> Path:
    """Return where a job writes its dataset before it is kept; what a dead attempt left there is removed."""
    return held.scratch() / f"job-{held.job.pk}-{held.attempt}-dataset.safetensors"


def write(data: AccDataset, path: Path) -> None:
    """Write a dataset; raises InvalidInput (file) for a disk that is full, and leaves nothing behind then."""
    copies.end_if_copy()
    try:
        data.save(path)
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(path.parent, data.images.nbytes) from error
        raise


def keep(
    held: Held, data: AccDataset, path: Path, *, name: str, provenance: dict[str, Any], seconds: float
) -> str:
    """Store the written dataset, finish the job, and return the dataset's address."""
    outcome = {"images": len(data), "seconds": round(seconds, 3)}

    def record() -> str:
        if not path.exists():  # stored by a try whose transaction then failed
            write(data, path)
        try:
            with transaction.atomic():
                row = datasets.create_dataset(
                    actor=held.job.created_by, name=name, dataset_path=path, provenance=provenance
                )
                result = {**outcome, "dataset": row.pk, "slug": row.slug, "existed": row.name != name}
                promises.require(held, result)
                # Together with the dataset: a job that was taken away leaves none behind.
                if not lifecycle.finish(held.job.pk, held.attempt, result):
                    raise Fenced(held.job.pk, held.attempt)
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(path.parent, data.images.nbytes) from error
            raise
        return row.slug

    promises.end_helpers(held)
    joblog.keep_now(held.worker, held.job.pk)
    try:
        return insist(record, given_up=held.lease.fenced)
    finally:
        path.unlink(missing_ok=True)

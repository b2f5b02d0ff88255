"""Stores the dataset that a job has made: the file first, then its row, in one transaction with the job's end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acc.data import AccDataset
from acc.data.importers import disk_full, is_disk_full
from acc.errors import AccError
from accsite.apps.datasets import selectors, services
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import Job
from workers.fork import copies
from workers.job import promises
from workers.job.context import JobContext


def draft_path(context: JobContext) -> Path:
    """Return where a job writes its dataset before it is stored; what a dead attempt left there is removed."""
    return context.scratch() / f"job-{context.job.pk}-{context.attempt}-dataset.safetensors"


def write_draft(data: AccDataset, path: Path) -> None:
    """Write a dataset; raises InvalidInput (file) for a disk that is full, and leaves nothing behind then."""
    copies.end_if_copy()
    try:
        data.save(path)
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(path.parent, data.images.nbytes) from error
        raise


def store_dataset(
    context: JobContext,
    data: AccDataset,
    path: Path,
    *,
    name: str,
    provenance: dict[str, Any],
    seconds: float,
) -> str:
    """Store the written dataset, finish the job, and return the dataset's address."""

    def record() -> dict[str, Any]:
        try:
            if not path.exists():  # stored by a try whose transaction then failed
                write_draft(data, path)
            row = services.create_dataset(
                actor=context.job.created_by, name=name, dataset_path=path, provenance=provenance
            )
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(path.parent, data.images.nbytes) from error
            raise
        return {"dataset": row.pk, "slug": row.slug, "existed": row.name != name}

    try:
        outcome = {"images": len(data), "seconds": round(seconds, 3)}
        return str(promises.succeed(context, outcome, proof=made_a_dataset, record=record)["slug"])
    finally:
        path.unlink(missing_ok=True)


def made_a_dataset(_job: Job, result: dict[str, Any], _message: str) -> None:
    """Raise PromiseBroken unless the dataset is there, opens, and holds as many images as were made."""
    row = Dataset.every.filter(pk=result.get("dataset", 0)).first()
    if row is None:
        raise promises.PromiseBroken("the dataset that it made is not there")
    try:
        found = len(AccDataset.load(selectors.local_path(row)))
    except AccError as error:
        raise promises.PromiseBroken(
            f"dataset '{row.slug}' was written and cannot be opened: {error}"
        ) from error
    if found != result["images"]:
        raise promises.PromiseBroken(
            f"dataset '{row.slug}' holds {found:,} images; {result['images']:,} were made"
        )

"""Reads datasets."""

from __future__ import annotations

from pathlib import Path

from acc.errors import InvalidInput
from accsite import blobs
from accsite.apps.datasets.models import Dataset


def get(slug: object) -> Dataset:
    """Return the dataset with this slug; raises InvalidInput (dataset) naming those that exist."""
    found = Dataset.objects.filter(slug=slug).first() if isinstance(slug, str) else None
    if found is None:
        known = ", ".join(Dataset.objects.values_list("slug", flat=True)[:20]) or "none"
        raise InvalidInput({"dataset": f"{slug!r} is not a dataset of this site; known: {known}"})
    return found


def local_path(dataset: Dataset) -> Path:
    """Return a verified local file of the dataset; raises BlobDamaged if it is missing or altered."""
    return blobs.open_local(dataset.file, dataset.sha256)

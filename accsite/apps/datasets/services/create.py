"""Takes datasets in. What is there already, by content, is not stored twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.db.models import F

from acc.data import AccDataset
from acc.errors import InvalidInput
from acc.hashes import file_sha256
from acc.names import clean_name
from accsite import blobs
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.recipes import recipe_hash
from accsite.apps.datasets.services.naming import free_slug
from accsite.apps.live.services import bump

TOPIC = "datasets"
PREFIX = "datasets"
SLUG_TRIES = 5


def create_dataset(*, actor: Any, name: str, dataset_path: Path, provenance: dict[str, Any]) -> Dataset:
    """Store a dataset file and return its row; a dataset of the same content is returned as it is.

    One of the same content that was removed is restored. ``dataset_path`` is moved away, once the row is written:
    when the database fails, ask again with the same file. Raises InvalidInput (name, file); nothing is stored then.
    """
    name = clean_name(name)
    data = AccDataset.load(dataset_path)
    existing = _existing(data.content_hash)
    if existing is not None:
        dataset_path.unlink()
        return existing
    sha256, size = file_sha256(dataset_path), dataset_path.stat().st_size
    fields: dict[str, Any] = {
        "file": blobs.name_of(PREFIX, sha256),
        "sha256": sha256,
        "content_hash": data.content_hash,
        "recipe_hash": recipe_hash(provenance),
        "size_bytes": size,
        "n": len(data),
        **data.image.model_dump(),
        "dtype": str(data.images.dtype),
        "targets": [_described(data, column.model_dump()) for column in data.target_specs],
        "units": None if data.units is None else data.unit_count,
        "split": data.parts,
        "provenance": provenance,
        "created_by": actor,
    }
    del data  # and with it the mapping of the file
    # The file is whole and in its place before the row that names it is committed.
    blobs.store(dataset_path, PREFIX, sha256, keep=True)
    row = _insert(name, dataset_path, **fields)
    dataset_path.unlink()
    return row


def _existing(content_hash: str) -> Dataset | None:
    row = (
        Dataset.every.filter(content_hash=content_hash)
        .order_by(F("removed_at").asc(nulls_first=True), "pk")
        .first()
    )
    if row is not None and row.removed_at is not None:
        with transaction.atomic():
            # A purge that was faster has taken it away.
            if not Dataset.every.filter(pk=row.pk).update(removed_at=None):
                return None
            bump(TOPIC, data={"restored": row.slug})
        row.removed_at = None
    return row


def _insert(name: str, path: Path, **fields: Any) -> Dataset:
    for _ in range(SLUG_TRIES):
        try:
            with transaction.atomic():
                row = Dataset.objects.create(name=name, slug=free_slug(name), **fields)
                bump(TOPIC, data={"added": row.slug})
                # From here on no purge can take the file for unused; one may have, a moment ago.
                if not default_storage.exists(row.file):
                    blobs.store(path, PREFIX, row.sha256, keep=True)
        except IntegrityError:  # another took the slug at this very moment
            continue
        return row
    raise InvalidInput({"name": f"{name!r} is being taken by others right now; try again or choose another"})


def _described(data: AccDataset, column: dict[str, Any]) -> dict[str, Any]:
    """Return a column's description with its statistics: mean, spread and range, or the count of each class."""
    values = data.targets[column["name"]]
    if column["kind"] == "class":
        counts = np.bincount(values, minlength=column["classes"])
        return {**column, "counts": counts.tolist()}
    wide = values.astype(np.float64)
    return {
        **column,
        "min": float(wide.min()),
        "max": float(wide.max()),
        "mean": float(wide.mean()),
        "std": float(wide.std()),
    }

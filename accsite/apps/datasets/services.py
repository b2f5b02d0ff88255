"""Takes datasets in. What is there already, by content, is not stored twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from django.db import IntegrityError, transaction
from django.utils.text import slugify

from acc.data import AccDataset
from acc.errors import InvalidInput
from acc.specs import NAME_PATTERN
from accsite import blobs
from accsite.apps.datasets.models import Dataset
from accsite.apps.live.services import bump

TOPIC = "datasets"
PREFIX = "datasets"
MAX_SLUG = 80
PAGES = frozenset({"new", "compare"})  # addresses below /datasets/ that are no dataset
SLUG_TRIES = 5


def create_dataset(*, actor: Any, name: str, dataset_path: Path, provenance: dict[str, Any]) -> Dataset:
    """Store a dataset file and return its row; a dataset of the same content is returned as it is.

    ``dataset_path`` is moved away, once the row is written: when the database fails, ask again with the same
    file. Raises InvalidInput (name, file); nothing is stored then.
    """
    check_name(name)
    data = AccDataset.load(dataset_path)
    existing = Dataset.objects.filter(content_hash=data.content_hash).order_by("pk").first()
    if existing is not None:
        dataset_path.unlink()
        return existing
    sha256, size = blobs.sha256_of(dataset_path), dataset_path.stat().st_size
    targets = [_described(data, column.model_dump()) for column in data.target_specs]
    image, n, dtype = data.image, len(data), str(data.images.dtype)
    content_hash = data.content_hash
    # The file is whole and in its place before the row that names it is committed.
    file = blobs.store(dataset_path, PREFIX, sha256, keep=True)
    row = _insert(
        name,
        file=file,
        sha256=sha256,
        content_hash=content_hash,
        size_bytes=size,
        n=n,
        channels=image.channels,
        height=image.height,
        width=image.width,
        dtype=dtype,
        targets=targets,
        provenance=provenance,
        created_by=actor,
    )
    dataset_path.unlink()
    return row


def _insert(name: str, **fields: Any) -> Dataset:
    for _ in range(SLUG_TRIES):
        try:
            with transaction.atomic():
                row = Dataset.objects.create(name=name, slug=free_slug(name), **fields)
                bump(TOPIC, data={"added": row.slug})
        except IntegrityError:  # another took the slug at this very moment
            continue
        return row
    raise InvalidInput({"name": f"{name!r} is being taken by others right now; try again or choose another"})


def check_name(name: object) -> None:
    """Raise InvalidInput (name) unless ``name`` will do for a dataset."""
    if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
        raise InvalidInput(
            {
                "name": f"{name!r} is refused; use 1 to 80 letters, digits, spaces and .()[]+-_, "
                "beginning with a letter"
            }
        )


def free_slug(name: str) -> str:
    """Return the slug of ``name``, numbered if another dataset, or a page beside theirs, has it."""
    base = slugify(name)[: MAX_SLUG - 8] or "dataset"
    slug, number = base, 1
    while slug in PAGES or Dataset.objects.filter(slug=slug).exists():
        number += 1
        slug = f"{base}-{number}"
    return slug


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

"""Which dataset an evaluation looks at: one that the checkpoint was trained on, or any other of the site."""

from __future__ import annotations

from acc.errors import InvalidInput
from accsite.apps.datasets import selectors as datasets
from accsite.apps.datasets.models import Dataset
from accsite.apps.training.models import Checkpoint
from accsite.apps.training.specs import model_spec_of


def other_dataset(checkpoint: Checkpoint, slug: str, *, removed: bool = False) -> Dataset | None:
    """Return the dataset ``slug``; None if it is empty, or a key of the datasets that the checkpoint carries.

    removed: also one that was removed since. Raises InvalidInput (dataset) naming those that exist.
    """
    if not slug or slug in checkpoint.spec.get("datasets", {}):
        return None
    return datasets.get(slug, removed=removed)


def require_dataset(checkpoint: Checkpoint, slug: str) -> None:
    """Raise InvalidInput (dataset) unless the checkpoint's model can look at the images of dataset ``slug``."""
    sees = model_spec_of(checkpoint).image
    found = other_dataset(checkpoint, slug)
    if found is None:
        return
    if (found.channels, found.height, found.width) != (sees.channels, sees.height, sees.width):
        images = f"{found.channels} x {found.height} x {found.width}"
        wanted = f"{sees.channels} x {sees.height} x {sees.width}"
        right = "choose another dataset"
        raise InvalidInput(dataset=f"the images of {slug!r} are {images}; this model sees {wanted}: {right}")

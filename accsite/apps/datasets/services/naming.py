"""Names and addresses of datasets."""

from __future__ import annotations

import re

from acc.errors import InvalidInput
from acc.names import MAX_NAME, clean_name
from accsite import slugs
from accsite.apps.datasets.models import Dataset

PAGES = frozenset({"new", "compare", "import", "generate"})  # addresses below /datasets/ that are no dataset


def check_free(name: str, *, but: Dataset | None = None) -> None:
    """Raise InvalidInput (name) if another dataset has this name."""
    others = Dataset.objects.filter(name=name)
    if (others.exclude(pk=but.pk) if but else others).exists():
        raise InvalidInput({"name": f"{name!r} is already the name of a dataset; choose another"})


def free_name(name: str) -> str:
    """Return ``name``, numbered if a dataset has it."""
    found, number = name, 1
    while Dataset.objects.filter(name=found).exists():
        number += 1
        found = f"{name[: MAX_NAME - 8]} {number}"
    return found


def free_slug(name: str) -> str:
    """Return the slug of ``name``, numbered if another dataset, or a page beside theirs, has it."""
    return slugs.free_slug(
        name, lambda slug: slug in PAGES or Dataset.every.filter(slug=slug).exists(), otherwise="dataset"
    )


def name_of_file(file: str) -> str:
    """Return a name for the dataset of a file: ``train-images-idx3-ubyte.gz`` gives ``train images``."""
    stem = file.split(".", 1)[0].replace("idx3", "").replace("ubyte", "")
    words = " ".join(re.sub(r"[^\w()\[\]+ ]|_", " ", stem).split())[:MAX_NAME]
    try:
        return clean_name(words)
    except InvalidInput:
        return "Imported"

"""Names and addresses of datasets."""

from __future__ import annotations

import re

from django.utils.text import slugify

from acc.errors import InvalidInput
from acc.specs import NAME_PATTERN
from accsite.apps.datasets.models import Dataset

MAX_NAME = 80
MAX_SLUG = 80
PAGES = frozenset({"new", "compare", "import", "generate"})  # addresses below /datasets/ that are no dataset


def check_name(name: object) -> None:
    """Raise InvalidInput (name) unless ``name`` will do for a dataset."""
    if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
        raise InvalidInput(
            {
                "name": f"{name!r} is refused; use 1 to 80 letters, digits, spaces and .()[]+-_, "
                "beginning with a letter"
            }
        )


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
    base = slugify(name)[: MAX_SLUG - 8] or "dataset"
    slug, number = base, 1
    while slug in PAGES or Dataset.every.filter(slug=slug).exists():
        number += 1
        slug = f"{base}-{number}"
    return slug


def name_of_file(file: str) -> str:
    """Return a name for the dataset of a file: ``train-images-idx3-ubyte.gz`` gives ``train images``."""
    stem = file.split(".", 1)[0].replace("idx3", "").replace("ubyte", "")
    words = " ".join(re.sub(r"[^\w()\[\]+ ]|_", " ", stem).split())[:MAX_NAME]
    return words if NAME_PATTERN.fullmatch(words) else "Imported"

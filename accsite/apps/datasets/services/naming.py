"""Names and addresses of datasets."""

from __future__ import annotations

import re

from acc.errors import InvalidInput
from acc.names import MAX_NAME, clean_name, same_name
from accsite import slugs
from accsite.apps.datasets.models import Dataset

PAGES = frozenset({"new", "compare", "import", "generate"})  # addresses below /datasets/ that are no dataset


def check_free(name: str, *, but: Dataset | None = None) -> None:
    """Raise InvalidInput (name) if another dataset has this name; capitals do not tell two names apart."""
    if same_name(name) in _keys(but):
        raise InvalidInput({"name": f"{name!r} is already the name of a dataset; choose another"})


def free_name(name: str) -> str:
    """Return ``name``, numbered if a dataset has it."""
    found, number, known = name, 1, _keys()
    while same_name(found) in known:
        number += 1
        found = f"{name[: MAX_NAME - 8]} {number}"
    return found


def _keys(but: Dataset | None = None) -> set[str]:
    others = Dataset.objects.exclude(pk=but.pk) if but else Dataset.objects.all()
    return {same_name(name) for name in others.values_list("name", flat=True)}


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

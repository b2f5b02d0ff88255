"""Who uses a dataset. Apps that lie above this one register how they find out, so that this one knows none of them."""

from __future__ import annotations

from collections.abc import Callable

from accsite.apps.datasets.models import Dataset

Find = Callable[[Dataset, int], list[str]]
NAMED = 5

_finders: list[Find] = []


def register(find: Find) -> None:
    """Let ``find(dataset, limit)`` name up to ``limit`` users of a dataset (in ``AppConfig.ready``)."""
    if find not in _finders:
        _finders.append(find)


def users_of(dataset: Dataset, limit: int = NAMED) -> list[str]:
    """Return the names of up to ``limit`` things that use a dataset, such as ``task 'digit' of digits/main``."""
    found: list[str] = []
    for find in _finders:
        if len(found) < limit:
            found += find(dataset, limit - len(found))
    return found[:limit]

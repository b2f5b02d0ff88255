"""Who uses a dataset. Apps that lie above this one register how they find out, so that this one knows none of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from accsite.apps.datasets.models import Dataset

Find = Callable[[Dataset, int], list[str]]
NAMED = 5

_finders: list[Find] = []


@dataclass(frozen=True)
class Place:
    """A branch that trains on a dataset, or could: its name, its page, and the form of a new task in it."""

    name: str
    url: str
    add_url: str


class Trainers(Protocol):
    """Finds the branches that a user sees (``on``) or may change (``fitting``), each in one query."""

    def on(self, datasets: Sequence[Dataset], user: Any) -> Mapping[int, list[Place]]: ...

    def fitting(self, dataset: Dataset, user: Any, limit: int) -> list[Place]: ...


_trainers: list[Trainers] = []


def register(find: Find) -> None:
    """Let ``find(dataset, limit)`` name up to ``limit`` users of a dataset (in ``AppConfig.ready``)."""
    if find not in _finders:
        _finders.append(find)


def register_trainers(trainers: Trainers) -> None:
    """Let ``trainers`` find the branches of datasets (in ``AppConfig.ready``)."""
    if trainers not in _trainers:
        _trainers.append(trainers)


def users_of(dataset: Dataset, limit: int = NAMED) -> list[str]:
    """Return the names of up to ``limit`` things that use a dataset, such as ``task 'digit' of digits/main``."""
    found: list[str] = []
    for find in _finders:
        if len(found) < limit:
            found += find(dataset, limit - len(found))
    return found[:limit]


def trained_by(datasets: Sequence[Dataset], user: Any) -> dict[int, list[Place]]:
    """Return for each dataset's id the branches with a task on it that ``user`` may see, by name."""
    found: dict[int, list[Place]] = {dataset.pk: [] for dataset in datasets}
    for trainers in _trainers:
        for pk, places in trainers.on(datasets, user).items():
            found[pk] += places
    return found


def fitting(dataset: Dataset, user: Any, limit: int) -> list[Place]:
    """Return up to ``limit`` branches that ``user`` may change and whose model looks at images of this shape."""
    found = [place for trainers in _trainers for place in trainers.fitting(dataset, user, limit)]
    return found[:limit]

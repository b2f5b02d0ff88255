"""Which rows of a dataset are trained on and which are held out, and the fixed examples that pages show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from acc import combinations
from acc.errors import InvalidInput
from acc.rng import seed_for
from acc.training.batch import Indices

if TYPE_CHECKING:
    from acc.data import AccDataset
    from acc.specs import TrainSpec

HELD_OUT = "held out from training"
GIVEN = "{part} rows of the split that came with the data"
NONE: Indices = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Split:
    """Which rows of a dataset are trained on and which are not, each row in no more than one of the arrays.

    held_out: what checkpoints are measured on. test: rows that came as such with the data beside validation rows.
    combinations: those of the combinations that nothing is trained on. No unit is both trained on and measured: of
    units that are trained on, the rows of a held-out combination are left out of everything.
    words: which rows ``held_out`` are.
    """

    training: Indices
    held_out: Indices
    test: Indices
    combinations: Indices
    words: str

    @property
    def in_words(self) -> str:
        """How many rows are what."""
        parts = [f"trained on {len(self.training):,}", f"{len(self.held_out):,} {self.words}"]
        if len(self.test):
            parts.append(f"{len(self.test):,} kept apart as test")
        if len(self.combinations):
            parts.append(f"{len(self.combinations):,} of held-out combinations")
        return ", ".join(parts)


def split_of(dataset: AccDataset, *, seed: int, train: TrainSpec) -> Split:
    """Return how a dataset is split for training; ``seed`` is the model's.

    A function of the dataset's content, the seed, and what the specification says of held-out rows. Raises InvalidInput
    (split, combinations) where nothing is left to train on, and for a given split that there is not.
    """
    if train.split == "given" and dataset.split is None:
        raise InvalidInput(split="the data comes with no split; choose drawn, or auto")
    if dataset.split is None or train.split == "drawn":
        training, held_out = split_indices(dataset, seed=seed, val_fraction=train.val_fraction)
        test, words = NONE, HELD_OUT
    else:
        order = np.random.default_rng(seed_for(seed, dataset.content_hash, "split")).permutation(len(dataset))
        training, held_out, test = (order[dataset.split[order] == part] for part in range(3))
        words = GIVEN.format(part="validation")
        if not len(held_out):
            held_out, test, words = test, NONE, GIVEN.format(part="test")
    if not train.combinations:
        return Split(training, held_out, test, NONE, words)
    labels = {column.name: column.labels for column in dataset.target_specs}
    inside = combinations.rows_of(dataset.targets, labels, len(dataset), train.combinations)
    training, held_out, test = (rows[~inside[rows]] for rows in (training, held_out, test))
    if not len(training):
        raise InvalidInput(combinations="they hold out every row that would be trained on; name fewer")
    apart = inside.copy()
    if dataset.units is not None:
        apart &= ~np.isin(dataset.units, dataset.units[training])
    return Split(training, held_out, test, np.flatnonzero(apart), words)


def split_indices(dataset: AccDataset, *, seed: int, val_fraction: float) -> tuple[Indices, Indices]:
    """Return shuffled (training, held-out) row numbers; units stay whole, classes keep their shares.

    A function of the dataset's content, the seed and the fraction only. Stratified by the first class target that
    is the same throughout each unit: from each class comes the same part of it, to within half a unit, so that
    classes of like size keep their shares within one unit; a class that is most of the data makes up for what is
    rounded in many small ones. Held out is the number of units whose rows come nearest to the fraction, and at least
    one unit is left for training. The trainer uses the *model's* seed, so that all jobs of an experiment hold out the
    same rows, and no branch is measured on what its ancestors trained on.
    """
    n = len(dataset.images)
    order = np.random.default_rng(seed_for(seed, dataset.content_hash, "split")).permutation(n)
    unit_of = _unit_numbers(dataset)
    # Units in the order in which the shuffle first meets them, as their first rows in that order.
    first = order[np.sort(np.unique(unit_of[order], return_index=True)[1])]
    sizes = np.bincount(unit_of)
    wanted = min(round(n * val_fraction), n - 1)
    if wanted == 0 or len(first) == 1:
        return order, order[:0]
    labels = _strata(dataset, unit_of)
    strata = np.zeros(n, dtype=np.int64) if labels is None else labels
    # A unit's place is where its middle row lies among the rows of its class, 0 to 1; the first places are held
    # out. So each class gives its share, and a larger fraction holds out a superset of a smaller one.
    by_class = first[np.argsort(strata[first], kind="stable")]
    rows = sizes[unit_of[by_class]]
    _, begins, of_class = np.unique(strata[by_class], return_index=True, return_inverse=True)
    before = np.cumsum(rows) - rows
    place = (before - before[begins][of_class] + rows / 2) / np.bincount(of_class, rows)[of_class]
    chosen = by_class[np.argsort(place, kind="stable")]
    held_out = np.cumsum(sizes[unit_of[chosen]])[:-1]
    chosen = chosen[: 1 + int(np.argmin(np.abs(held_out - wanted)))]
    is_held_out = np.isin(unit_of, unit_of[chosen])
    return order[~is_held_out[order]], order[is_held_out[order]]


def _unit_numbers(dataset: AccDataset) -> Indices:
    """Return for each row the number of its unit, ``0..units-1``; without units each row is one."""
    if dataset.units is None:
        return np.arange(len(dataset))
    return np.unique(dataset.units, return_inverse=True)[1].astype(np.int64)


def _strata(dataset: AccDataset, unit_of: Indices) -> Indices | None:
    """Return the labels of the first class target that is the same throughout each unit, and is no mere number."""
    first = np.unique(unit_of, return_index=True)[1]
    for column in dataset.target_specs:
        if column.kind == "class":
            labels = np.asarray(dataset.targets[column.name], dtype=np.int64)
            if np.array_equal(labels[first][unit_of], labels) and len(np.unique(labels)) < len(first):
                return labels
    return None


def fixed_examples(dataset: AccDataset, rows: Indices, *, count: int, seed: int) -> Indices:
    """Return up to ``count`` of ``rows``, the same every time, going round the classes if there are any."""
    order = np.random.default_rng(seed_for(seed, dataset.content_hash, "examples")).permutation(np.sort(rows))
    labels = _first_class_column(dataset)
    if labels is not None:
        chosen = labels[order]
        rank = np.zeros(len(order), dtype=np.int64)
        for label in np.unique(chosen):
            of_class = np.flatnonzero(chosen == label)
            rank[of_class] = np.arange(len(of_class))
        order = order[np.lexsort((chosen, rank))]
    return order[:count]


def _first_class_column(dataset: AccDataset) -> Indices | None:
    for column in dataset.target_specs:
        if column.kind == "class":
            return np.asarray(dataset.targets[column.name], dtype=np.int64)
    return None

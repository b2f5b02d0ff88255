"""Which rows are trained on, and in which order: a fixed held-out split, fixed examples, endless index streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from acc.rng import seed_for
from acc.training.batch import Indices

if TYPE_CHECKING:
    from acc.data import AccDataset

BATCHES_AHEAD = 64  # index batches prepared at once, so that a step only narrows a tensor


def split_indices(dataset: AccDataset, *, seed: int, val_fraction: float) -> tuple[Indices, Indices]:
    """Return shuffled (training, held-out) row numbers; units stay whole, classes keep their shares.

    A function of the dataset's content, the seed and the fraction only. Stratified by the first class target that
    is the same throughout each unit; classes keep their shares within one unit. Held out is the number of units
    whose rows come nearest to the fraction, and at least one unit is left for training. The trainer uses the
    *model's* seed, so that all jobs of an experiment hold out the same rows, and no branch is measured on what its
    ancestors trained on.
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


class IndexStream:
    """Endless batches of training rows: one seeded shuffle per epoch, one epoch after another.

    Sample number i of the stream depends on the seed, the dataset's content and i alone. A batch may span
    two epochs, so a dataset smaller than a batch trains as well. ``offset`` counts samples drawn; it is the
    position that a checkpoint keeps.
    """

    def __init__(
        self,
        rows: Indices,
        *,
        seed: int,
        content_hash: str,
        batch_size: int,
        device: torch.device,
        offset: int = 0,
    ) -> None:
        self._rows, self._seed, self._content_hash = np.sort(rows), seed, content_hash
        self._batch_size, self._device = batch_size, device
        self._chunk_epochs = max(1, -(-BATCHES_AHEAD * batch_size // len(rows)))
        self._chunk_samples = self._chunk_epochs * len(rows)
        self._chunk_number = -1
        self._chunk = torch.empty(0, dtype=torch.int64, device=device)
        self.offset = offset

    def next(self) -> Tensor:
        """Return the next batch of row numbers ``(batch_size,) int64`` on the device."""
        start = self.offset
        self.offset = start + self._batch_size
        number, within = divmod(start, self._chunk_samples)
        if number != self._chunk_number:
            self._load(number)
        if within + self._batch_size <= self._chunk_samples:
            return self._chunk.narrow(0, within, self._batch_size)
        head = self._chunk[within:]
        self._load(number + 1)
        return torch.cat([head, self._chunk[: self._batch_size - len(head)]])

    def _load(self, number: int) -> None:
        first = number * self._chunk_epochs
        epochs = [self._epoch(epoch) for epoch in range(first, first + self._chunk_epochs)]
        chunk = torch.from_numpy(np.concatenate(epochs))
        if self._device.type == "cuda":
            chunk = chunk.pin_memory()  # else the copy would wait for all that the GPU has yet to do
        self._chunk = chunk.to(self._device, non_blocking=True)
        self._chunk_number = number

    def _epoch(self, epoch: int) -> Indices:
        seed = seed_for(self._seed, self._content_hash, "train", epoch)
        return np.random.default_rng(seed).permutation(self._rows)

"""Datasets as the trainer sees them: resident tensors, a fixed held-out split, endless index streams."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acc.errors import TaskError
from acc.rng import seed_for
from acc.training.task import ROWS_AT_ONCE, Batch, GatheredTargets

if TYPE_CHECKING:
    from acc.data import AccDataset

Indices = NDArray[np.int64]
MAX_BYTES_AT_ONCE = 2**30
SAMPLE_ROWS = 16_384
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


class Resident:
    """A dataset on the device: images uint8 or float32 ``(N, C, H, W)``, targets int64 or float32 ``(N,)``."""

    def __init__(self, dataset: AccDataset, device: torch.device) -> None:
        self.dataset, self.device = dataset, device
        self.images = _tensor(dataset.images, dataset.images.dtype.type, device)
        self.targets = {
            column.name: _tensor(
                dataset.targets[column.name], np.int64 if column.kind == "class" else np.float32, device
            )
            for column in dataset.target_specs
        }

    def batch(self, index: Tensor) -> Batch:
        """Return the rows ``index`` (int64, on the device) with images in 0..1."""
        return Batch(to_unit(self.images.index_select(0, index)), GatheredTargets(self.targets, index))


class Stored:
    """A dataset where it lies: rows are brought to the device when they are asked for, and none is kept.

    What evaluations read from: they need each row once or twice, so they hold a bounded number whatever N is.
    """

    def __init__(self, dataset: AccDataset, device: torch.device) -> None:
        self.dataset, self.device = dataset, device

    def batch(self, rows: Indices) -> Batch:
        """Return the rows with images in 0..1, on the device; the same values as of ``Resident``."""
        images = _tensor(self.dataset.images[rows], self.dataset.images.dtype.type, self.device)
        return Batch(to_unit(images), _StoredTargets(self, rows))

    def all_of(self, rows: Indices) -> Batch:
        """Return rows of any number: targets are read whole, images only part by part."""
        return _ManyRows(self, rows)


class _StoredTargets(Mapping[str, Tensor]):
    """Rows of target columns, each brought to the device only if it is read, and once."""

    def __init__(self, stored: Stored, rows: Indices) -> None:
        self._stored, self._rows = stored, rows
        self._read: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._read:
            values = self._stored.dataset.targets[name][self._rows]
            self._read[name] = _tensor(values, values.dtype.type, self._stored.device)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored.dataset.targets)

    def __len__(self) -> int:
        return len(self._stored.dataset.targets)


class _ManyRows(Batch):
    """Rows of which there may be millions; ``images`` are read each time they are asked for."""

    def __init__(self, stored: Stored, rows: Indices) -> None:
        self._stored, self._rows = stored, rows
        self.targets = _StoredTargets(stored, rows)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def images(self) -> Tensor:  # type: ignore[override]  # a slot in the base
        """All images; raises TaskError for more than 1 GiB of them."""
        size = 4 * len(self) * math.prod(self._stored.dataset.images.shape[1:])
        if size > MAX_BYTES_AT_ONCE:
            raise TaskError(
                f"all {len(self):,} images at once would take {size:,} bytes; read them by parts()",
                field="images",
            )
        return self._stored.batch(self._rows).images

    def parts(self) -> Iterator[Batch]:
        """Yield the rows in order, up to 512 at a time."""
        for start in range(0, len(self), ROWS_AT_ONCE):
            yield self._stored.batch(self._rows[start : start + ROWS_AT_ONCE])


class TrainingRows:
    """The training rows of a dataset, for what is measured before the first step.

    Targets are of all rows. Images are of up to 16,384 of them, the first of the shuffled split, so that a job on
    a large dataset starts without reading all of it.
    """

    def __init__(self, resident: Resident, rows: Indices) -> None:
        self.dataset = resident.dataset
        self._resident = resident
        self._index = torch.from_numpy(rows).to(resident.device)

    def __len__(self) -> int:
        return len(self._index)

    def target(self, name: str) -> Tensor:
        """Return a target column ``(N,)``, int64 labels or float32 values."""
        return self._resident.targets[name].index_select(0, self._index)

    def images(self) -> Iterator[Tensor]:
        """Yield images ``(n, C, H, W)`` in 0..1, up to 512 at a time; each call begins anew."""
        for index in self._index[:SAMPLE_ROWS].split(ROWS_AT_ONCE):
            yield to_unit(self._resident.images.index_select(0, index))


def to_unit(images_BCHW: Tensor) -> Tensor:
    """Return uint8 images as float32 in 0..1; float32 images are so already."""
    if images_BCHW.is_floating_point():
        return images_BCHW
    return images_BCHW.to(torch.float32).mul_(1 / 255)


def _tensor(array: NDArray[np.generic], dtype: type[np.generic], device: torch.device) -> Tensor:
    # A memory-mapped or read-only array is copied: torch must own what it hands to kernels.
    return torch.from_numpy(np.array(array, dtype=dtype, order="C", copy=True)).to(device)


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

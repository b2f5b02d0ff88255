"""The rows of a dataset as a step, a task or a measurement gets them: images in 0..1 with their targets.

``Resident`` keeps a whole dataset on the device, for training, and an ``IndexStream`` says which of its rows come
next; ``Stored`` brings rows there as they are asked for.
"""

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

if TYPE_CHECKING:
    from acc.data import AccDataset

Indices = NDArray[np.int64]
ROWS_AT_ONCE = 512
MAX_BYTES_AT_ONCE = 2**30
SAMPLE_ROWS = 16_384
BATCHES_AHEAD = 64  # index batches prepared at once, so that a step only narrows a tensor


class Batch:
    """Images of one dataset with their targets.

    images: float ``(N, C, H, W)`` in 0..1, on the device.
    targets: name -> ``(N,)`` int64 labels or float32 values; a column is gathered when it is first read.
    """

    __slots__ = ("images", "targets")

    def __init__(self, images: Tensor, targets: Mapping[str, Tensor]) -> None:
        self.images, self.targets = images, targets

    def __len__(self) -> int:
        return self.images.shape[0]

    def parts(self) -> Iterator[Batch]:
        """Yield the same rows in order, up to 512 at a time, so that no more images need be held at once."""
        for start in range(0, len(self), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            yield Batch(self.images[rows], {name: values[rows] for name, values in self.targets.items()})


class GatheredTargets(Mapping[str, Tensor]):
    """Rows ``index`` of resident target columns, each gathered at most once and only if it is read."""

    __slots__ = ("_columns", "_gathered", "_index")

    def __init__(self, columns: Mapping[str, Tensor], index: Tensor) -> None:
        self._columns, self._index = columns, index
        self._gathered: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        rows = self._gathered.get(name)
        if rows is None:
            rows = self._gathered[name] = self._columns[name].index_select(0, self._index)
        return rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


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

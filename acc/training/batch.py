"""The rows of a dataset as a step, a task or a measurement gets them: images in 0..1 with their targets.

``Resident`` keeps a whole dataset on the device, for training; ``Stored`` brings rows there as they are asked for.
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

if TYPE_CHECKING:
    from acc.data import AccDataset

Indices = NDArray[np.int64]
ROWS_AT_ONCE = 512
MAX_BYTES_AT_ONCE = 2**30
SAMPLE_ROWS = 16_384


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

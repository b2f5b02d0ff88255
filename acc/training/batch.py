"""The rows of a dataset as a step, a task or a measurement gets them: images in 0..1 with their targets.

``Resident`` keeps a whole dataset on the device, for training, and an ``IndexStream`` says which of its rows come
next; ``Stored`` brings rows there as they are asked for. Datasets that are too large to be kept are streamed:
``acc.training.streaming``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acc.errors import TaskError
from acc.rng import seed_for
from acc.training.pairs import FactorIndex
from acc.training.views import Augmentations, view

if TYPE_CHECKING:
    from acc.data import AccDataset

Indices = NDArray[np.int64]
ROWS_AT_ONCE = 512
MAX_BYTES_AT_ONCE = 2**30
SAMPLE_ROWS = 16_384
BATCHES_AHEAD = 64  # index batches prepared at once, so that a step only narrows a tensor


class Draw(NamedTuple):
    """Where the rows of a batch stand in what is drawn of a dataset, from which what is random about them follows.

    seed: the training's; position: rows drawn before the batch; size: of the whole batch, of which these rows are
    ``start`` and on.
    """

    seed: int
    position: int
    size: int
    start: int = 0


class Source(Protocol):
    """A dataset from which batches are made; ``training``: the rows that are trained on."""

    dataset: AccDataset

    @property
    def factors(self) -> FactorIndex: ...

    def partners(self, rows: Indices, draw: Draw) -> Batch: ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Which rows of which dataset a batch holds: ``index`` on the device, ``host`` the same numbers on the host."""

    source: Source
    index: Tensor
    host: Tensor
    draw: Draw

    def part(self, start: int, stop: int) -> Origin:
        """Return the origin of rows ``start:stop`` of the batch."""
        draw = self.draw._replace(start=self.draw.start + start)
        return replace(self, index=self.index[start:stop], host=self.host[start:stop], draw=draw)


class Batch:
    """Images of one dataset with their targets.

    images: float ``(N, C, H, W)`` in 0..1, on the device.
    targets: name -> ``(N,)`` int64 labels or float32 values; a column is gathered when it is first read.
    rows: ``(N,)`` int64, which rows of the dataset they are. See also ``views`` and ``pairs``.
    """

    __slots__ = ("_origin", "images", "targets")

    def __init__(self, images: Tensor, targets: Mapping[str, Tensor], origin: Origin | None = None) -> None:
        self.images, self.targets, self._origin = images, targets, origin

    def __len__(self) -> int:
        return self.images.shape[0]

    @property
    def rows(self) -> Tensor:
        """Row numbers in the dataset, ``(N,) int64`` on the device; a batch made by hand raises TaskError."""
        return self._from().index

    def views(self, count: int = 2, how: Augmentations | None = None) -> tuple[Tensor, ...]:
        """Return ``count`` views of the images, each float ``(N, C, H, W)`` in 0..1: seen otherwise, at random.

        how: what is done to them, ``Augmentations()`` unless given. The same batch gives the same views however
        often it is asked, after a resume too, and on whichever of several ranks: nothing of it need be kept.
        Raises TaskError for a batch made by hand.
        """
        origin, how = self._from(), how or Augmentations()
        draw, content_hash = origin.draw, origin.source.dataset.content_hash
        return tuple(
            view(
                self.images,
                how,
                seed=seed_for(draw.seed, content_hash, "view", number, draw.position),
                size=draw.size,
                start=draw.start,
            )
            for number in range(count)
        )

    def pairs(self, k: int = 1, factors: Sequence[str] = ()) -> Batch:
        """Return a batch of as many training rows: each equal to its row here in all but ``k`` of the factors.

        Factors are the targets of classes, and real ones whose values repeat (``factors_of``); ``factors`` names those
        that count. Which ``k`` may differ is drawn for each row. A row that has no partner is its own. The same batch
        gives the same pairs, after a resume too.
        Raises TaskError where the dataset has no factors, most rows have no partner, or the batch was made by hand.
        """
        origin = self._from()
        draw, source = origin.draw, origin.source
        seed = seed_for(draw.seed, source.dataset.content_hash, "pairs", draw.position)
        partners = source.factors.partners(
            origin.host.numpy(), k, factors, seed, size=draw.size, start=draw.start
        )
        return source.partners(partners, draw)

    def parts(self) -> Iterator[Batch]:
        """Yield the same rows in order, up to 512 at a time, so that no more images need be held at once."""
        for start in range(0, len(self), ROWS_AT_ONCE):
            stop = min(start + ROWS_AT_ONCE, len(self))
            targets = {name: values[start:stop] for name, values in self.targets.items()}
            origin = None if self._origin is None else self._origin.part(start, stop)
            yield Batch(self.images[start:stop], targets, origin)

    def _from(self) -> Origin:
        if self._origin is None:
            raise TaskError(
                "this batch was made by hand; it is of no dataset, so it has no rows, views or pairs"
            )
        return self._origin


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


class OnDevice(ABC):
    """A dataset as it is trained on: targets on the device, int64 or float32 ``(N,)``; subclasses have the images.

    training: the rows that are trained on, from which pairs come; None: all.
    """

    def __init__(self, dataset: AccDataset, device: torch.device, training: Indices | None = None) -> None:
        self.dataset, self.device = dataset, device
        self._training = training
        self.targets = {
            column.name: _tensor(
                dataset.targets[column.name], np.int64 if column.kind == "class" else np.float32, device
            )
            for column in dataset.target_specs
        }

    @cached_property
    def factors(self) -> FactorIndex:
        """What pairs of rows are found by; built when it is first asked for."""
        return _factor_index(self.dataset, self._training)

    @abstractmethod
    def raw(self, index: Tensor, host: Tensor) -> Tensor:
        """Return images as they are stored, on the device, of rows ``index`` (``host``: the same on the host)."""

    @abstractmethod
    def stream(self, rows: Indices, *, seed: int, batch_size: int, offset: int) -> Stream:
        """Return the endless batches of ``rows``, from row ``offset`` of their order on."""

    def partners(self, rows: Indices, draw: Draw) -> Batch:
        """Return the rows as a batch, drawn at the place of those that they are partners of."""
        host = torch.from_numpy(rows)
        index = sent(host, self.device)
        images = to_unit(self.raw(index, host))
        return Batch(images, GatheredTargets(self.targets, index), Origin(self, index, host, draw))


class Resident(OnDevice):
    """A dataset on the device: images uint8 or float32 ``(N, C, H, W)``, targets int64 or float32 ``(N,)``."""

    def __init__(self, dataset: AccDataset, device: torch.device, training: Indices | None = None) -> None:
        super().__init__(dataset, device, training)
        self.images = _tensor(dataset.images, dataset.images.dtype.type, device)

    def raw(self, index: Tensor, host: Tensor) -> Tensor:
        return self.images.index_select(0, index)

    def stream(self, rows: Indices, *, seed: int, batch_size: int, offset: int) -> Stream:
        return IndexStream(
            rows,
            seed=seed,
            content_hash=self.dataset.content_hash,
            batch_size=batch_size,
            device=self.device,
            offset=offset,
        )

    def batch(self, index: Tensor) -> Batch:
        """Return the rows ``index`` (int64, on the device) with images in 0..1."""
        host = index.cpu()
        draw = Draw(0, 0, len(index))
        images = to_unit(self.raw(index, host))
        return Batch(images, GatheredTargets(self.targets, index), Origin(self, index, host, draw))


class Stream(Protocol):
    """Endless batches of the training rows of one dataset. offset: rows drawn, which a checkpoint keeps."""

    offset: int

    def draw(self, data: OnDevice) -> Drawn: ...


class Drawn:
    """The rows that come next of a dataset, or a process's share of them."""

    __slots__ = ("_raw", "data", "draw", "host", "index")

    def __init__(self, data: OnDevice, index: Tensor, host: Tensor, draw: Draw, raw: Tensor | None) -> None:
        """``raw``: the images as they are stored, on the device, if they are there already."""
        self.data, self.index, self.host, self.draw, self._raw = data, index, host, draw, raw

    def __len__(self) -> int:
        return len(self.index)

    def images(self) -> Tensor:
        """Return the images as they are stored, on the device."""
        return self.data.raw(self.index, self.host) if self._raw is None else self._raw

    def part(self, start: int, stop: int) -> Drawn:
        """Return rows ``start:stop`` of them."""
        if start == 0 and stop == len(self):
            return self
        raw = None if self._raw is None else self._raw[start:stop]
        draw = self.draw._replace(start=start)
        return Drawn(self.data, self.index[start:stop], self.host[start:stop], draw, raw)

    def batch(self, images: Tensor) -> Batch:
        """Return them as a batch; ``images`` are theirs in 0..1."""
        origin = Origin(self.data, self.index, self.host, self.draw)
        return Batch(images, GatheredTargets(self.data.targets, self.index), origin)


class Stored:
    """A dataset where it lies: rows are brought to the device when they are asked for, and none is kept.

    What evaluations read from: they need each row once or twice, so they hold a bounded number whatever N is. What
    is random about a batch follows from its rows. training: the rows that were trained on; None: all.
    """

    def __init__(self, dataset: AccDataset, device: torch.device, training: Indices | None = None) -> None:
        self.dataset, self.device = dataset, device
        self._training = training

    @cached_property
    def factors(self) -> FactorIndex:
        """What pairs of rows are found by; built when it is first asked for."""
        return _factor_index(self.dataset, self._training)

    def batch(self, rows: Indices) -> Batch:
        """Return the rows with images in 0..1, on the device; the same values as of ``Resident``."""
        return self.partners(rows, Draw(0, int(rows[0]) if len(rows) else 0, len(rows)))

    def partners(self, rows: Indices, draw: Draw) -> Batch:
        """Return the rows as a batch, drawn at the place of those that they are partners of."""
        images = torch.from_numpy(self.dataset.read(rows)).to(self.device)
        host = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        return Batch(
            to_unit(images), _StoredTargets(self, rows), Origin(self, host.to(self.device), host, draw)
        )

    def all_of(self, rows: Indices) -> Batch:
        """Return rows of any number: targets are read whole, images only part by part."""
        return _ManyRows(self, rows)


def _factor_index(dataset: AccDataset, training: Indices | None) -> FactorIndex:
    return FactorIndex(dataset, np.arange(len(dataset)) if training is None else training)


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

    __slots__ = ("_rows", "_stored")

    def __init__(self, stored: Stored, rows: Indices) -> None:
        self._stored, self._rows = stored, rows
        self.targets = _StoredTargets(stored, rows)
        host = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        draw = Draw(0, int(rows[0]) if len(rows) else 0, len(rows))
        self._origin = Origin(stored, host.to(stored.device), host, draw)

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

    def __init__(self, data: OnDevice, rows: Indices) -> None:
        self.dataset = data.dataset
        self._data = data
        self._host = torch.from_numpy(rows)
        self._index = self._host.to(data.device)

    def __len__(self) -> int:
        return len(self._index)

    def target(self, name: str) -> Tensor:
        """Return a target column ``(N,)``, int64 labels or float32 values."""
        return self._data.targets[name].index_select(0, self._index)

    def images(self) -> Iterator[Tensor]:
        """Yield images ``(n, C, H, W)`` in 0..1, up to 512 at a time; each call begins anew."""
        for start in range(0, min(SAMPLE_ROWS, len(self)), ROWS_AT_ONCE):
            rows = slice(start, min(start + ROWS_AT_ONCE, SAMPLE_ROWS))
            yield to_unit(self._data.raw(self._index[rows], self._host[rows]))


def to_unit(images_BCHW: Tensor) -> Tensor:
    """Return uint8 images as float32 in 0..1; float32 images are so already."""
    if images_BCHW.is_floating_point():
        return images_BCHW
    return images_BCHW.to(torch.float32).mul_(1 / 255)


def sent(host: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the host on the device, without waiting for what a GPU has yet to do."""
    if device.type == "cuda":
        host = host.pin_memory()  # else the copy would wait
    return host.to(device, non_blocking=True)


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
        self._host = torch.empty(0, dtype=torch.int64)
        self._chunk = torch.empty(0, dtype=torch.int64, device=device)
        self.offset = offset

    def next(self) -> Tensor:
        """Return the next batch of row numbers ``(batch_size,) int64`` on the device."""
        return self._take()[0]

    def draw(self, data: OnDevice) -> Drawn:
        """Return the next batch of ``data``."""
        draw = Draw(self._seed, self.offset, self._batch_size)
        index, host = self._take()
        return Drawn(data, index, host, draw, None)

    def _take(self) -> tuple[Tensor, Tensor]:
        start = self.offset
        self.offset = start + self._batch_size
        number, within = divmod(start, self._chunk_samples)
        if number != self._chunk_number:
            self._load(number)
        if within + self._batch_size <= self._chunk_samples:
            rows = slice(within, within + self._batch_size)
            index = self._chunk[rows]
            return index, index if self._chunk is self._host else self._host[rows]
        head, host = self._chunk[within:], self._host[within:]
        self._load(number + 1)
        rest = slice(0, self._batch_size - len(head))
        return torch.cat([head, self._chunk[rest]]), torch.cat([host, self._host[rest]])

    def _load(self, number: int) -> None:
        first = number * self._chunk_epochs
        epochs = [self._epoch(epoch) for epoch in range(first, first + self._chunk_epochs)]
        self._host = torch.from_numpy(np.concatenate(epochs))
        self._chunk = sent(self._host, self._device)
        self._chunk_number = number

    def _epoch(self, epoch: int) -> Indices:
        seed = seed_for(self._seed, self._content_hash, "train", epoch)
        return np.random.default_rng(seed).permutation(self._rows)

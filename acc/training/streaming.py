"""Datasets larger than memory: trained from their file, window after window, read ahead by a thread.

The training rows, in the order of the file, are cut into blocks of 64 KiB. An epoch is a seeded shuffle of all blocks
of the file; 512 of them in a row, 32 MiB, are a window, and the rows of a window are shuffled again. So the rows of a
batch come from hundreds of places all over the file, whatever its order: a file that is sorted by class, or that has
the versions of one scan side by side, fills no window with one of them. Images larger than a block are blocks of their
own, fewer of them in a window, which so is no larger: they are shuffled freely.
Row number i of the order depends on the seed, the dataset's content and i alone, and i is in the checkpoint.
"""

from __future__ import annotations

import math
import mmap
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acc.data import AccDataset
from acc.rng import seed_for
from acc.training.batch import Draw, Drawn, Indices, OnDevice, sent

BLOCK_BYTES = 2**16
BLOCKS_IN_A_WINDOW = 512
"""Both decide the order of a streamed dataset: with others a checkpoint would not go on as it began."""


class Streamed(OnDevice):
    """A dataset whose targets are on the device and whose images stay in the file."""

    def raw(self, index: Tensor, host: Tensor) -> Tensor:
        return sent(torch.from_numpy(self.dataset.read(host.numpy())), self.device)

    def stream(self, rows: Indices, *, seed: int, batch_size: int, offset: int) -> WindowStream:
        return WindowStream(
            self.dataset, rows, seed=seed, batch_size=batch_size, device=self.device, offset=offset
        )


@dataclass(frozen=True, slots=True)
class _Window:
    """Rows ``start`` and on of the order: their numbers on host and device, and their images on the device."""

    start: int
    host: Tensor
    index: Tensor
    images: Tensor

    @property
    def stop(self) -> int:
        return self.start + len(self.host)


class WindowStream:
    """Endless batches of training rows with their images, in the order of this module; one window is read ahead.

    ``offset`` counts rows drawn; it is the position that a checkpoint keeps. On a GPU the windows are read into pinned
    memory and sent without waiting for them.
    """

    def __init__(
        self,
        dataset: AccDataset,
        rows: Indices,
        *,
        seed: int,
        batch_size: int,
        device: torch.device,
        offset: int = 0,
    ) -> None:
        self._dataset, self._rows, self._seed = dataset, np.sort(rows), seed
        self._batch_size, self._device = batch_size, device
        self._per_block = max(1, BLOCK_BYTES // dataset.images[0].nbytes)
        self._blocks = -(-len(rows) // self._per_block)
        block_bytes = max(BLOCK_BYTES, dataset.images[0].nbytes)
        self._windows = -(-self._blocks // max(1, BLOCK_BYTES * BLOCKS_IN_A_WINDOW // block_bytes))
        self._epoch, self._order, self._starts = -1, np.empty(0, np.int64), np.empty(0, np.int64)
        self._window: _Window | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="acc-read-ahead")
        self._ahead: tuple[int, Future[tuple[Tensor, Tensor]]] | None = None
        self.offset = offset

    def draw(self, data: OnDevice) -> Drawn:
        """Return the next batch of ``data``."""
        draw = Draw(self._seed, self.offset, self._batch_size)
        parts = []
        at, stop = self.offset, self.offset + self._batch_size
        while at < stop:
            window = self._window
            if window is None or not window.start <= at < window.stop:
                window = self._window = None  # its memory may go before there is another
                window = self._window = self._taken(at)
            rows = slice(at - window.start, min(stop, window.stop) - window.start)
            parts.append((window.index[rows], window.host[rows], window.images[rows]))
            at = min(stop, window.stop)
        self.offset = stop
        index, host, images = parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True))
        return Drawn(data, index, host, draw, images)

    def _taken(self, at: int) -> _Window:
        """Return the window that holds row ``at`` of the order, and have the one after it read."""
        start, rows = self._rows_from(at)
        if self._ahead is not None and self._ahead[0] == start:
            host, images = self._ahead[1].result()
        else:
            host, images = self._read(rows)
        window = _Window(start, host, sent(host, self._device), images.to(self._device, non_blocking=True))
        after, rows = self._rows_from(window.stop)
        self._ahead = after, self._reader.submit(self._read, rows)
        return window

    def _rows_from(self, at: int) -> tuple[int, Indices]:
        """Return where the window that holds row ``at`` of the order begins, and its rows."""
        epoch, within = divmod(at, len(self._rows))
        if epoch != self._epoch:
            seed = seed_for(self._seed, self._dataset.content_hash, "blocks", epoch)
            self._order = np.random.default_rng(seed).permutation(self._blocks)
            sizes = np.full(self._blocks, self._per_block)
            sizes[self._order == self._blocks - 1] = len(self._rows) - (self._blocks - 1) * self._per_block
            before = np.concatenate([[0], np.cumsum(sizes)])
            self._starts = before[self._cuts()]
            self._epoch = epoch
        number = int(np.searchsorted(self._starts, within, side="right")) - 1
        first, last = self._cuts()[number : number + 2]
        block = self._order[first:last, None] * self._per_block + np.arange(self._per_block)
        rows = self._rows[block[block < len(self._rows)]]
        seed = seed_for(self._seed, self._dataset.content_hash, "window", epoch, number)
        return epoch * len(self._rows) + int(self._starts[number]), np.random.default_rng(seed).permutation(
            rows
        )

    def _cuts(self) -> Indices:
        """Return at which blocks of an epoch windows begin, and the end: windows of like size, none a small rest."""
        cuts: Indices = np.arange(self._windows + 1) * self._blocks // self._windows
        return cuts

    def _read(self, rows: Indices) -> tuple[Tensor, Tensor]:
        """Return row numbers and images of a window, on the host; in pinned memory for a GPU."""
        images = self._dataset.images
        kept = _room((len(rows), *images.shape[1:]), images.dtype, pinned=self._device.type == "cuda")
        self._dataset.read(rows, out=kept.numpy())
        return torch.from_numpy(rows), kept


def _room(shape: tuple[int, ...], dtype: np.dtype[Any], *, pinned: bool) -> Tensor:
    """Return a tensor on the host that nothing was written to.

    Pages of its own, not the heap's: there windows of unlike size, freed by turns by two threads, lay in 7 to 12 times
    the memory of one. These go back to the system with the last tensor that looks at them.
    """
    if pinned:
        return torch.empty(shape, dtype=torch.from_numpy(np.empty(0, dtype)).dtype, pin_memory=True)
    room = mmap.mmap(-1, max(1, math.prod(shape) * dtype.itemsize))
    return torch.from_numpy(np.ndarray(shape, dtype, buffer=room))

"""Which rows of an update this process computes in one pass: its rank's slice of one of the batches.

An update looks at ``passes`` batches of every dataset, and ``ranks`` processes divide each of them. However it is
divided, the rows are the same, and so is the noise of the posterior: it is drawn for all of them at once, in the
order of one large batch, and each pass takes its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Share:
    """Rows ``start:end`` of each batch of ``batch`` rows, in ``passes`` passes for one update."""

    batch: int
    start: int
    end: int
    passes: int = 1

    @classmethod
    def of(cls, batch: int, *, rank: int = 0, ranks: int = 1, passes: int = 1) -> Share:
        """Return the share of ``rank``; the first ``batch % ranks`` ranks take one row more."""
        each, more = divmod(batch, ranks)
        start = rank * each + min(rank, more)
        return cls(batch, start, start + each + (rank < more), passes)

    @property
    def rows(self) -> int:
        """Rows of each batch that this process computes."""
        return self.end - self.start

    @property
    def is_whole(self) -> bool:
        """Whether one pass of this process is the whole update."""
        return self.passes == 1 and self.rows == self.batch

    @property
    def weight(self) -> float:
        """What the mean over the rows of one pass counts in the mean over all rows of the update."""
        return self.rows / (self.batch * self.passes)

    def take(self, index: Tensor) -> Tensor:
        """Return this process's rows of a batch ``(batch, ...)``."""
        return index if self.rows == self.batch else index[self.start : self.end]


class SharedNoise:
    """The noise of the posterior for all rows of an update, of which every pass takes its own.

    It stands in for ``Model.noise``. ``begin`` an update, then ``turn`` to each pass.
    """

    def __init__(self, share: Share) -> None:
        self._share = share
        self._drawn: list[Tensor] = []
        self._used = 0
        self._pass = 0

    def begin(self) -> None:
        """Forget the noise of the update before."""
        self._drawn.clear()

    def turn(self, number: int) -> None:
        """Take the rows of pass ``number`` from now on."""
        self._pass, self._used = number, 0

    def __call__(self, mean: Tensor) -> Tensor:
        """Return the noise for ``mean``, whose rows are this pass's share of one batch of each dataset."""
        share = self._share
        datasets = len(mean) // share.rows
        if self._used == len(self._drawn):
            rows = datasets * share.passes * share.batch
            like = torch.empty_like(mean)
            drawn = torch.empty((rows, *mean.shape[1:]), dtype=mean.dtype, device=mean.device)
            if like.dim() == 4 and not like.is_contiguous():  # noise is drawn in the order of the memory
                drawn = drawn.contiguous(memory_format=torch.channels_last)
            self._drawn.append(drawn.normal_())
        noise = self._drawn[self._used].unflatten(0, (datasets, share.passes, share.batch))
        self._used += 1
        taken: Tensor = noise[:, self._pass, share.start : share.end].flatten(0, 1)
        return taken


def mean_of(losses: Sequence[Sequence[Tensor]], share: Share) -> list[Tensor]:
    """Return each task's loss over all passes of this process, weighted as its part of the update's mean."""
    weight = share.weight
    return [torch.stack(each).sum() * weight for each in zip(*losses, strict=True)]

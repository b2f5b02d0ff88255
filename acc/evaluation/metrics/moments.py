"""The one pass over the data: moments of each (fold, context level) cell, from which every probe is solved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from acc.evaluation.metrics.prepared import FOLDS, Column, Prepared

RIDGE = 0.01  # of the mean variance of the active dimensions


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of the latents in the cells of one context; F folds, L levels, rows sorted by (fold, level).

    ``order`` (N,) canonical index of each sorted row, ``cell`` (N,) = fold * L + level, ``bounds`` F * L + 1
    row numbers; count (F, L), total (F, L, D), second (F, L, D, D) uncentred; ``views`` the dimensions of
    each view.
    """

    context: Column
    order: Tensor
    cell: Tensor
    bounds: tuple[int, ...]
    count: Tensor
    total: Tensor
    second: Tensor
    ridge: float
    views: tuple[Tensor, ...]

    @property
    def levels(self) -> int:
        """Number of context levels."""
        return self.count.shape[1]

    @cached_property
    def train_count(self) -> Tensor:
        """Samples of each level outside each fold (F, L), at least 1 so that it may divide."""
        return outside(self.count).clamp(min=1)

    @cached_property
    def train_mean(self) -> Tensor:
        """Mean latent of each level outside each fold (F, L, D)."""
        return outside(self.total) / self.train_count[..., None]

    @cached_property
    def train_covariance(self) -> Tensor:
        """Covariance of each level outside each fold (F, L, D, D)."""
        mean = self.train_mean
        return (
            outside(self.second) / self.train_count[..., None, None] - mean[..., :, None] * mean[..., None, :]
        )

    @cached_property
    def mean(self) -> Tensor:
        """Mean latent of each level (L, D)."""
        return self.total.sum(0) / self.count.sum(0).clamp(min=1)[:, None]

    @cached_property
    def covariance(self) -> Tensor:
        """Covariance of each level (L, D, D)."""
        mean = self.mean
        per_sample = self.second.sum(0) / self.count.sum(0).clamp(min=1)[:, None, None]
        return per_sample - mean[:, :, None] * mean[:, None, :]

    @cached_property
    def member(self) -> Tensor:
        """One where a dimension belongs to a view, else zero (V, D)."""
        shape = (len(self.views), self.total.shape[-1])
        there = torch.zeros(shape, dtype=self.total.dtype, device=self.total.device)
        for view, dims in enumerate(self.views):
            there[view, dims] = 1
        return there

    @cached_property
    def factors(self) -> tuple[Tensor, ...]:
        """Cholesky factors of covariance + ridge for each view (F, L, width, width), shared by all concepts."""
        return tuple(self._factor(dims) for dims in self.views)

    def _factor(self, dims: Tensor) -> Tensor:
        block = self.train_covariance[..., dims[:, None], dims[None, :]]
        ridge = self.ridge * torch.eye(len(dims), dtype=block.dtype, device=block.device)
        factor: Tensor = torch.linalg.cholesky(block + ridge)
        return factor

    def cell_sums(self, columns: Tensor, width: int) -> Tensor:
        """Return sums over the rows of each cell, (F, L, width), of ``columns`` (N, width)."""
        sums = torch.zeros(len(self.bounds) - 1, width, dtype=columns.dtype, device=columns.device)
        sums.index_add_(0, self.cell, columns)
        return sums.reshape(FOLDS, self.levels, width)


def moments_of(prepared: Prepared, context: Column) -> tuple[Moments, Tensor]:
    """Return the moments of ``prepared``'s latents in the cells of ``context``, and the latents (N, D) in its order.

    O(N D^2), once per context.
    """
    levels = len(context.level_names)
    cell = prepared.fold * levels + context.level
    order = torch.sort(cell, stable=True).indices
    cell = cell[order]
    z = prepared.z[order]
    count = torch.bincount(cell, minlength=FOLDS * levels)
    bounds = (0, *count.cumsum(0).tolist())
    width = z.shape[1]
    second = torch.stack([z[a:b].T @ z[a:b] for a, b in pairwise(bounds)])
    total = torch.zeros(FOLDS * levels, width, dtype=z.dtype, device=z.device).index_add_(0, cell, z)
    moments = Moments(
        context=context,
        order=order,
        cell=cell,
        bounds=bounds,
        count=count.reshape(FOLDS, levels).to(z.dtype),
        total=total.reshape(FOLDS, levels, width),
        second=second.reshape(FOLDS, levels, width, width),
        ridge=RIDGE * _variance(second, prepared),
        views=prepared.views,
    )
    return moments, z


def _variance(second: Tensor, prepared: Prepared) -> float:
    """Return the mean variance of the active dimensions, whose mean is 0, from second moments; 1 without any."""
    active = int(prepared.active.sum())
    return float(second.diagonal(dim1=1, dim2=2).sum()) / len(prepared.z) / active if active else 1.0


def outside(per_fold: Tensor) -> Tensor:
    """Return for each fold the sum over all the other folds; folds are the first axis."""
    return per_fold.sum(0, keepdim=True) - per_fold

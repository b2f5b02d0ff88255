"""The one pass over the data: moments of each (fold, context level) cell, from which every probe is solved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from acc.evaluation.metrics.prepared import FOLDS, Column, Prepared

RIDGE = 0.01  # of the variance of an active dimension, which is 1 as they are standardised


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
        ridge = RIDGE * torch.eye(len(dims), dtype=block.dtype, device=block.device)
        factor: Tensor = torch.linalg.cholesky(block + ridge)
        return factor

    def without_each(self, group: Tensor, groups: range, z: Tensor) -> tuple[Moments, Moments, Tensor]:
        """Return the moments without each of some groups of rows, those of these rows alone, and which rows they are.

        group (N,) of each sorted row; z (N, D) sorted. Each level stands once for each group, all levels of one
        group beside each other: the levels L become groups x L. Rows and ``cell`` are those of the left-out rows.
        """
        rows = ((group >= groups.start) & (group < groups.stop)).nonzero()[:, 0]
        fold = torch.div(self.cell[rows], self.levels, rounding_mode="floor")
        level = self.cell[rows] % self.levels
        cell = (fold * len(groups) + group[rows] - groups.start) * self.levels + level
        by_cell = torch.sort(cell, stable=True).indices
        rows, cell = rows[by_cell], cell[by_cell]
        count, total, second, bounds = _sums(z[rows], cell, FOLDS * len(groups) * self.levels)
        shape = (FOLDS, len(groups) * self.levels)
        left_out = replace(
            self,
            order=self.order[rows],
            cell=cell,
            bounds=bounds,
            count=count.reshape(shape),
            total=total.reshape(*shape, -1),
            second=second.reshape(*shape, *second.shape[1:]),
        )
        many = len(groups)
        fewer = replace(
            left_out,
            count=self.count.repeat(1, many) - left_out.count,
            total=self.total.repeat(1, many, 1) - left_out.total,
            second=self.second.repeat(1, many, 1, 1) - left_out.second,
        )
        return fewer, left_out, rows

    def levels_at(self, chosen: slice) -> Moments:
        return replace(
            self, count=self.count[:, chosen], total=self.total[:, chosen], second=self.second[:, chosen]
        )

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
    count, total, second, bounds = _sums(z, cell, FOLDS * levels)
    width = z.shape[1]
    moments = Moments(
        context=context,
        order=order,
        cell=cell,
        bounds=bounds,
        count=count.reshape(FOLDS, levels),
        total=total.reshape(FOLDS, levels, width),
        second=second.reshape(FOLDS, levels, width, width),
        views=prepared.views,
    )
    return moments, z


def _sums(z: Tensor, cell: Tensor, cells: int) -> tuple[Tensor, Tensor, Tensor, tuple[int, ...]]:
    """Return counts (cells,), sums (cells, D) and second moments (cells, D, D) of rows sorted by cell, and bounds."""
    count = torch.bincount(cell, minlength=cells)
    bounds = (0, *count.cumsum(0).tolist())
    total = torch.zeros(cells, z.shape[1], dtype=z.dtype, device=z.device).index_add_(0, cell, z)
    second = torch.stack([z[a:b].T @ z[a:b] for a, b in pairwise(bounds)])
    return count.to(z.dtype), total, second, bounds


def outside(per_fold: Tensor) -> Tensor:
    """Return for each fold the sum over all the other folds; folds are the first axis."""
    return per_fold.sum(0, keepdim=True) - per_fold

"""The transfer matrix of one concept in one context: fitted on each level, tested on each, for every view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from acc.evaluation.metrics.labels import Usable
from acc.evaluation.metrics.moments import Moments
from acc.evaluation.metrics.prepared import FOLDS, Column
from acc.evaluation.metrics.probes import LabelMoments, Probes, discriminants, regressions, scores

NEVER_EMPTY = 1e-6  # weight added to every resampled sample, so that a cell drawn empty keeps its plain mean


@dataclass(frozen=True, eq=False)
class Transfer:
    """Skills of one (concept, context): matrix (R, V, L, L) with NaN for empty cells; R = 1 + resamples.

    Element [0] is the estimate; [r, v, a, b] is fitted on level a and tested on level b.
    """

    matrix: Tensor

    @property
    def within(self) -> Tensor:
        """Mean of the diagonal (R, V)."""
        return _nanmean(self.matrix.diagonal(dim1=-2, dim2=-1))

    @property
    def across(self) -> Tensor:
        """Mean off the diagonal (R, V)."""
        levels = self.matrix.shape[-1]
        off = ~torch.eye(levels, dtype=torch.bool, device=self.matrix.device)
        return _nanmean(self.matrix[..., off])


def fit(moments: Moments, column: Column, labels: LabelMoments, views: Sequence[int]) -> list[Probes]:
    """Return the probes of each of ``views``."""
    solve = regressions if column.kind == "cont" else discriminants
    return [solve(moments, view, labels) for view in views]


def transfer(
    moments: Moments,
    column: Column,
    parts: Sequence[Tensor],
    labels: Tensor,
    probes: Sequence[Probes],
    can: Usable,
    draws: Tensor,
) -> Transfer:
    """Return the skills of ``column`` under ``moments``' context.

    parts (N, width) each view's latents and labels (N,), sorted as the moments are; draws (N, B) uint8 resampling
    weights in canonical order.
    """
    errors = torch.stack(
        [_errors(moments, column, part, labels, p, can) for part, p in zip(parts, probes, strict=True)], dim=1
    )
    bins = column.classes if column.kind == "cat" else len(column.level_names)
    level = moments.cell % moments.levels
    cell = level * bins + (labels if column.kind == "cat" else column.level[moments.order])
    cells = moments.levels * bins
    shape = (-1, moments.levels, bins, *errors.shape[1:])
    if column.kind == "cat":
        means, _ = _cell_means(errors.flatten(1), cell, cells, moments.order, draws)
        matrix = _class_skill(means.reshape(shape), can)
    else:
        # The label's own moments ride along, so that each resample is judged by its own variance.
        moments_of_label = torch.stack([labels, labels.square()], dim=1)
        columns = torch.cat([errors.flatten(1), moments_of_label], dim=1)
        means, count = _cell_means(columns, cell, cells, moments.order, draws)
        totals = (means * count[:, None]).reshape(len(means), moments.levels, bins, -1).sum(2)
        matrix = _real_skill(totals, moments.count.sum(0), errors.shape[1:])
    return Transfer(torch.where(can.pairs, matrix, torch.nan))


def class_mask(can: Usable) -> Tensor | None:
    """Return (tested level, C, fitted level) True where a class may be chosen; None if all may everywhere."""
    return None if bool(can.classes.all()) else can.classes.permute(1, 2, 0)


def _errors(
    moments: Moments, column: Column, part: Tensor, labels: Tensor, probes: Probes, can: Usable
) -> Tensor:
    """Return (N, L): squared error of each sample, or 1 where its class was found, by the probe of each level."""
    mask = class_mask(can) if column.kind == "cat" else None
    level = moments.cell % moments.levels
    found = []
    for fold in range(FOLDS):
        rows = slice(moments.bounds[fold * moments.levels], moments.bounds[(fold + 1) * moments.levels])
        score = scores(probes, fold, part[rows])[..., 0]
        if column.kind == "cont":
            found.append((score[:, 0] - labels[rows, None]).square())
            continue
        if mask is not None:
            score = score.masked_fill(~mask[level[rows]], -torch.inf)
        found.append((score.max(1).indices == labels[rows, None]).to(part.dtype))
    return torch.cat(found)


def _cell_means(columns: Tensor, cell: Tensor, cells: int, order: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Return means (1 + B, cells, columns) of each cell, plain and resampled, and the cells' sizes (cells,)."""
    by_cell = torch.sort(cell, stable=True).indices
    sorted_columns = columns[by_cell]
    count = torch.bincount(cell, minlength=cells)
    bounds = [0, *count.cumsum(0).tolist()]
    means = torch.zeros(1 + draws.shape[1], cells, columns.shape[1], dtype=columns.dtype, device=columns.device)
    weights = draws[order[by_cell]].to(torch.float32) + NEVER_EMPTY
    # The column of ones makes the divisor by the same sums, in the same order, as the rest: a mean of ones is 1.
    light = torch.cat([sorted_columns, torch.ones_like(sorted_columns[:, :1])], dim=1).to(torch.float32)
    for index, (start, stop) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
        if stop == start:
            continue
        means[0, index] = sorted_columns[start:stop].mean(0)
        if draws.shape[1]:
            sums = weights[start:stop].T @ light[start:stop]
            means[1:, index] = (sums[:, :-1] / sums[:, -1:]).to(means.dtype)
    return means, count.to(columns.dtype)


def _class_skill(accuracy: Tensor, can: Usable) -> Tensor:
    """Return chance-corrected balanced accuracy (R, V, L, L) from accuracy (R, tested, C, V, fitted)."""
    mask = can.classes.to(accuracy.dtype)  # fitted, tested, C
    classes = mask.sum(-1).clamp(min=2)
    balanced = torch.einsum("rbcva,abc->rvab", accuracy, mask) / classes
    chance = 1 / classes
    return ((balanced - chance) / (1 - chance)).clamp(-1, 1)


def _real_skill(totals: Tensor, count: Tensor, shape: torch.Size) -> Tensor:
    """Return 1 - MSE / variance (R, V, L, L) from totals (R, tested, V * L + 2) and samples per level."""
    mean = totals / count.clamp(min=1)[:, None]
    error = mean[..., :-2].reshape(*mean.shape[:2], *shape)  # R b V a
    variance = mean[..., -1] - mean[..., -2].square()
    skill = 1 - error / variance.clamp(min=1e-300)[..., None, None]
    return skill.permute(0, 2, 3, 1).clamp(-1, 1)


def _nanmean(values: Tensor) -> Tensor:
    return values.nanmean(-1)

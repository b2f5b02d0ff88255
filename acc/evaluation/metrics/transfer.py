"""The transfer matrix of one concept in one context: fitted on each level, tested on each, for every view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from acc.evaluation.metrics.labels import Pair
from acc.evaluation.metrics.moments import Moments
from acc.evaluation.metrics.prepared import FOLDS
from acc.evaluation.metrics.probes import (
    LabelMoments,
    Probes,
    discriminants,
    hits,
    joined,
    regressions,
    scores,
)

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
        return self.matrix.diagonal(dim1=-2, dim2=-1).nanmean(-1)

    @property
    def across(self) -> Tensor:
        """Mean off the diagonal (R, V)."""
        levels = self.matrix.shape[-1]
        off = ~torch.eye(levels, dtype=torch.bool, device=self.matrix.device)
        return self.matrix[..., off].nanmean(-1)


def fit(moments: Moments, sums: LabelMoments) -> list[Probes]:
    """Return the probes of each view."""
    solve = discriminants if sums.label is None else regressions
    return [solve(moments, view, sums) for view in range(len(moments.views))]


def transfers(pairs: Sequence[Pair], parts: Sequence[Tensor], draws: Tensor) -> list[Transfer]:
    """Return the skills of concepts in one context, all of them real or all of as many classes.

    parts (N, width) each view's latents, sorted; draws (N, B) uint8 resampling weights in canonical order.
    """
    probes = fit(pairs[0].moments, joined([pair.sums for pair in pairs]))
    errors = torch.stack([_errors(pairs, part, p) for part, p in zip(parts, probes, strict=True)])
    return [_transfer(pair, errors[:, :, index], draws) for index, pair in enumerate(pairs)]


def _transfer(pair: Pair, errors: Tensor, draws: Tensor) -> Transfer:
    """Return the skills that follow from ``errors`` (V, L, N)."""
    moments, column = pair.moments, pair.column
    bins = len(column.level_names) if pair.real else column.classes
    place = column.level[moments.order] if pair.real else pair.values
    cell = (moments.cell % moments.levels) * bins + place
    # Counts up to 2^24 are exact in float32.
    columns = errors.flatten(0, 1).to(moments.total.dtype if pair.real else torch.float32).T.contiguous()
    if pair.real:
        # The label's own moments ride along, so that each resample is judged by its own variance.
        columns = torch.cat([columns, torch.stack([pair.values, pair.values.square()], dim=1)], dim=1)
    means, count = _cell_means(columns, cell, moments.levels * bins, draws[moments.order])
    shape = (len(means), moments.levels, bins)
    if pair.real:
        totals = (means * count[:, None]).reshape(*shape, -1).sum(2)
        matrix = _real_skill(totals, moments.count.sum(0), errors.shape[:2])
    else:
        matrix = _class_skill(means.reshape(*shape, *errors.shape[:2]), pair.can.classes)
    return Transfer(torch.where(pair.can.pairs, matrix, torch.nan))


def _errors(pairs: Sequence[Pair], part: Tensor, probes: Probes) -> Tensor:
    """Return (L, P, N): squared error of each sample, or whether its class was found, by each level's probes."""
    moments, real = pairs[0].moments, pairs[0].real
    truth = torch.stack([pair.values for pair in pairs])
    mask = None if real else _masks(pairs)
    level = moments.cell % moments.levels
    found = []
    for fold in range(FOLDS):
        rows = slice(moments.bounds[fold * moments.levels], moments.bounds[(fold + 1) * moments.levels])
        score = scores(probes, fold, part[rows])
        if mask is not None:
            score = score.masked_fill(~mask[..., level[rows]], -torch.inf)
        found.append((score[0] - truth[:, rows]).square() if real else hits(score, truth[:, rows]))
    return torch.cat(found, dim=2)


def _masks(pairs: Sequence[Pair]) -> Tensor | None:
    """Return classes that may be chosen (C, fitted level, P, tested level); None if all may everywhere."""
    if all(pair.class_mask is None for pair in pairs):
        return None
    return torch.stack([pair.can.classes.permute(2, 0, 1) for pair in pairs], dim=2)


def _cell_means(columns: Tensor, cell: Tensor, cells: int, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Return means (1 + B, cells, columns) of the cells, plain and resampled, and their sizes (cells,)."""
    count = torch.bincount(cell, minlength=cells)
    shape = (1 + draws.shape[1], cells, columns.shape[1])
    means = torch.zeros(shape, dtype=torch.float64, device=columns.device)
    plain = torch.zeros(shape[1:], dtype=columns.dtype, device=columns.device).index_add_(0, cell, columns)
    means[0] = plain.to(torch.float64) / count.clamp(min=1)[:, None]
    if draws.shape[1]:
        by_cell = torch.sort(cell, stable=True).indices
        weights = draws[by_cell]
        # The column of ones makes the divisor by the same sums, in the same order, so that a mean of ones is 1.
        light = torch.cat([columns, torch.ones_like(columns[:, :1])], dim=1)[by_cell].to(torch.float32)
        for index, (start, stop) in enumerate(pairwise((0, *count.cumsum(0).tolist()))):
            if stop > start:
                sums = (weights[start:stop].to(torch.float32) + NEVER_EMPTY).T @ light[start:stop]
                means[1:, index] = (sums[:, :-1] / sums[:, -1:]).to(means.dtype)
    return means, count.to(means.dtype)


def _class_skill(accuracy: Tensor, classes: Tensor) -> Tensor:
    """Return chance-corrected balanced accuracy (R, V, L, L) from accuracy (R, tested, C, V, fitted)."""
    mask = classes.to(accuracy.dtype)  # fitted, tested, C
    number = mask.sum(-1).clamp(min=2)
    balanced = torch.einsum("rbcva,abc->rvab", accuracy, mask) / number
    chance = 1 / number
    return ((balanced - chance) / (1 - chance)).clamp(-1, 1)


def _real_skill(totals: Tensor, count: Tensor, shape: torch.Size) -> Tensor:
    """Return 1 - MSE / variance (R, V, L, L) from totals (R, tested, V * L + 2) and samples per level."""
    mean = totals / count.clamp(min=1)[:, None]
    error = mean[..., :-2].reshape(*mean.shape[:2], *shape)  # R b V a
    variance = mean[..., -1] - mean[..., -2].square()
    skill = 1 - error / variance.clamp(min=1e-300)[..., None, None]
    return skill.permute(0, 2, 3, 1).clamp(-1, 1)

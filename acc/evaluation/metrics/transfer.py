"""The transfer matrix of one concept in one context: fitted on each level, tested on each, for every view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, eq=False)
class Transfer:
    """Skills of one (concept, context): matrix (..., L, L) with NaN for empty cells.

    [..., a, b] is fitted on level a and tested on level b; before these stand views or label shuffles.
    """

    matrix: Tensor

    @property
    def within(self) -> Tensor:
        return self.matrix.diagonal(dim1=-2, dim2=-1).nanmean(-1)

    @property
    def across(self) -> Tensor:
        """Mean off the diagonal."""
        levels = self.matrix.shape[-1]
        off = ~torch.eye(levels, dtype=torch.bool, device=self.matrix.device)
        return self.matrix[..., off].nanmean(-1)


def fit(moments: Moments, sums: LabelMoments) -> list[Probes]:
    solve = discriminants if sums.label is None else regressions
    return [solve(moments, view, sums) for view in range(len(moments.views))]


def errors_of(pairs: Sequence[Pair], parts: Sequence[Tensor]) -> Tensor:
    """Return (V, L, P, N): squared error of each sample, or whether its class was found, by each level's probes.

    pairs: P concepts in one context, all real or all of as many classes; parts (N, width) each view's latents, sorted.
    """
    probes = fit(pairs[0].moments, joined([pair.sums for pair in pairs]))
    return torch.stack([_errors(pairs, part, p) for part, p in zip(parts, probes, strict=True)])


def transfers(pairs: Sequence[Pair], errors: Tensor) -> list[Transfer]:
    """Return the skills (V, L, L) of each pair that follow from ``errors_of`` them."""
    return [
        Transfer(_matrices(pair, errors[None, :, :, at], pair.cells[None])[0])
        for at, pair in enumerate(pairs)
    ]


def transfers_kept(pairs: Sequence[Pair], errors: Tensor, tested: Tensor) -> list[Transfer]:
    """Return the same (R, V, L, L) of R choices of the samples, under the probes that were fitted on all of them.

    tested (R, N) bool: the rows that are scored.
    """
    return [
        Transfer(_matrices(pair, errors[None, :, :, at], pair.cells * tested[:, None].to(pair.cells.dtype)))
        for at, pair in enumerate(pairs)
    ]


def transfers_without(
    pairs: Sequence[Pair], fewer: Sequence[Pair], parts: Sequence[Tensor], tested: Tensor
) -> list[Transfer]:
    """Return the same (R, V, L, L) with probes fitted, and tested, without each of R groups of rows.

    fewer: ``without_each`` of the pairs; parts float32; tested (R, N) bool: the rows that are left. Scores are
    float32, which is far below what a group of rows changes.
    """
    probes = fit(fewer[0].moments, joined([pair.sums for pair in fewer]))
    light = [Probes(p.weight.to(torch.float32), p.offset.to(torch.float32)) for p in probes]
    errors = torch.stack(
        [_errors(pairs, part, p, len(tested)) for part, p in zip(parts, light, strict=True)]
    )  # V, R x L, P, N
    views, _, _, n = errors.shape
    by_group = errors.reshape(views, len(tested), pairs[0].moments.levels, len(pairs), n).transpose(0, 1)
    found = []
    for at, pair in enumerate(pairs):
        cells = pair.cells.to(torch.float32) * tested[:, None].to(torch.float32)
        found.append(Transfer(_matrices(pair, by_group[..., at, :], cells)))
    return found


def _matrices(pair: Pair, errors: Tensor, cells: Tensor) -> Tensor:
    """Return the skills (R, V, L, L) that follow from errors (R or 1, V, L, N); cells (R, cells, N) 0 or 1."""
    views, levels = errors.shape[1:3]
    columns = errors.flatten(1, 2).to(cells.dtype)
    if pair.real:
        # The label's own moments ride along: a skill is judged by the variance of the rows that were scored.
        own = torch.stack([pair.values, pair.values.square()]).to(cells.dtype)
        columns = torch.cat([columns, own.expand(len(columns), -1, -1)], dim=1)
    sums = (columns @ cells.mT).to(torch.float64)
    count = cells.sum(2).to(torch.float64)
    mean = sums / count.clamp(min=1)[:, None]
    if pair.real:
        matrix = _real_skill(mean, (views, levels))
    else:
        shape = (levels, pair.column.classes)
        there = pair.can.classes & (count.reshape(len(mean), 1, *shape) > 0)
        matrix = _class_skill(mean.reshape(len(mean), views, levels, *shape), there[:, None])
    return torch.where(pair.can.pairs, matrix, torch.nan)


def _errors(pairs: Sequence[Pair], part: Tensor, probes: Probes, repeats: int = 1) -> Tensor:
    """Return (L, P, N): squared error of each sample, or whether its class was found, by each level's probes.

    ``repeats`` says how many times the probes hold the levels: that often L.
    """
    moments, real = pairs[0].moments, pairs[0].real
    truth = torch.stack([pair.values for pair in pairs])
    if real:
        truth = truth.to(part.dtype)
    mask = None if real else _masks(pairs)
    level = moments.cell % moments.levels
    found = []
    for fold in range(FOLDS):
        rows = slice(moments.bounds[fold * moments.levels], moments.bounds[(fold + 1) * moments.levels])
        score = scores(probes, fold, part[rows])
        if mask is not None:
            score = score.masked_fill(~mask[..., level[rows]].repeat(1, repeats, 1, 1), -torch.inf)
        found.append((score[0] - truth[:, rows]).square() if real else hits(score, truth[:, rows]))
    return torch.cat(found, dim=2)


def _masks(pairs: Sequence[Pair]) -> Tensor | None:
    """Return classes that may be chosen (C, fitted level, P, tested level); None if all may everywhere."""
    if all(pair.class_mask is None for pair in pairs):
        return None
    return torch.stack([pair.can.classes.permute(2, 0, 1) for pair in pairs], dim=2)


def _class_skill(accuracy: Tensor, classes: Tensor) -> Tensor:
    """Return chance-corrected balanced accuracy (R, V, L, L) from accuracy (R, V, fitted, tested, C)."""
    mask = classes.to(accuracy.dtype)  # R, 1, fitted, tested, C
    number = mask.sum(-1).clamp(min=2)
    balanced = (accuracy * mask).sum(-1) / number
    chance = 1 / number
    return ((balanced - chance) / (1 - chance)).clamp(-1, 1)


def _real_skill(mean: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return 1 - MSE / variance (R, V, L, L) from means (R, V * L + 2, tested)."""
    error = mean[:, :-2].reshape(len(mean), *shape, -1)
    variance = mean[:, -1] - mean[:, -2].square()
    return (1 - error / variance.clamp(min=1e-300)[:, None, None]).clamp(-1, 1)

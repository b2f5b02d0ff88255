"""Parallelism: does a concept's coding direction stay the same from one context level to the next?

Source: Bernardi et al. 2020, with squared norms from pairs of disjoint halves, so that noise does not
lengthen them (the plain estimate pulls every cosine towards zero).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from acc.evaluation.metrics.labels import MIN_SAMPLES, Pair
from acc.evaluation.metrics.prepared import FOLDS

EVERYTHING = tuple(range(FOLDS))
HALVES = ((0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2))  # three splits, each two lines of two folds
SIGNIFICANT = 2.0  # standard errors of its noise by which a squared norm must exceed zero


def parallelism(pair: Pair) -> tuple[Tensor, str]:
    """Return the mean cosine between coding directions at pairs of levels, per view (V,), and why any is NaN.

    The direction of a class concept is the matrix of its centred class means; of a real one the slope of the
    latents on it. A level whose direction does not rise above its noise has no direction.
    """
    moments, name = pair.moments, pair.column.name
    nothing = torch.full(
        (len(moments.views),), math.nan, dtype=moments.total.dtype, device=moments.total.device
    )
    levels = pair.can.pairs.diagonal().nonzero()[:, 0]
    if len(levels) < 2:
        return nothing, f"fewer than two levels of '{moments.context.name}' have {MIN_SAMPLES} usable samples"
    if pair.real:
        whole = _slopes(pair, levels, EVERYTHING)
        parts = torch.stack([_slopes(pair, levels, folds) for folds in HALVES])
    else:
        count = torch.stack([pair.sums.count[list(half), :, 0].sum(0)[levels] for half in HALVES])
        present = (count > 0).all(0).all(0)
        if int(present.sum()) < 2:
            return (
                nothing,
                f"no two classes of '{name}' are present at every level of '{moments.context.name}'",
            )
        whole = _means(pair, levels, EVERYTHING, present)
        parts = torch.stack([_means(pair, levels, folds, present) for folds in HALVES])
    squared = (parts[0::2] * parts[1::2]).mean(0).sum(1)  # L D
    noise = _noise(pair, levels, whole)  # L V
    mean = torch.stack(
        [
            _mean_cosine(whole[..., dims], squared[:, dims].sum(1), noise[:, view])
            for view, dims in enumerate(moments.views)
        ]
    )
    missing = bool(mean.isnan().any())
    return mean, f"no coding direction of '{name}' rises above its noise" if missing else ""


def _mean_cosine(whole: Tensor, squared: Tensor, noise: Tensor) -> Tensor:
    """Return the mean over pairs of levels of directions (L, C, width) with squared norms (L,)."""
    flat = whole.flatten(1)
    norm = torch.where((squared > SIGNIFICANT * noise) & (squared > 0), squared, torch.nan).sqrt()
    cosine = (flat @ flat.T / (norm[:, None] * norm[None, :])).clamp(-1, 1)
    first, second = torch.triu_indices(len(flat), len(flat), offset=1, device=flat.device)
    return cosine[first, second].nanmean()


def _means(pair: Pair, levels: Tensor, folds: tuple[int, ...], present: Tensor) -> Tensor:
    """Return centred class means (L, C, D) of the samples in ``folds``."""
    count = pair.sums.count[list(folds), :, 0].sum(0)[levels][:, present]
    sums = pair.sums.latent[list(folds), :, 0].sum(0)[levels][:, present]
    means: Tensor = sums / count[..., None]
    return means - means.mean(1, keepdim=True)


def _slopes(pair: Pair, levels: Tensor, folds: tuple[int, ...]) -> Tensor:
    """Return slopes of the latents on the label (L, 1, D) of the samples in ``folds``."""
    moments, sums, chosen = pair.moments, pair.sums, list(folds)
    assert sums.label is not None
    n = moments.count[chosen].sum(0)[levels].clamp(min=1)[:, None]
    mean_z = moments.total[chosen].sum(0)[levels] / n
    mean_y = sums.label[chosen, :, 0].sum(0)[levels, None] / n
    variance = pair.squares[chosen].sum(0)[levels, None] / n - mean_y.square()
    product = sums.latent[chosen, :, 0, 0].sum(0)[levels] / n
    slopes: Tensor = (product - mean_z * mean_y) / variance.clamp(min=1e-12)
    return slopes[:, None]


def _noise(pair: Pair, levels: Tensor, whole: Tensor) -> Tensor:
    """Return the standard error of the squared norm of a direction that is not there, (L, V).

    A direction estimated from n samples has covariance S / n; the product of independent halves of it,
    averaged over three splits, has variance 2 F / (F - 1) x rank x |S|^2 / n^2 with F folds.
    """
    moments = pair.moments
    n = moments.count.sum(0)[levels].clamp(min=1)
    mean = moments.total.sum(0)[levels] / n[:, None]
    covariance = moments.second.sum(0)[levels] / n[:, None, None] - mean[:, :, None] * mean[:, None, :]
    if pair.real:
        variance = pair.variance[levels]
        between = whole.mT @ whole * variance[:, None, None]
        scale = 1 / (n * variance.clamp(min=1e-12))
    else:
        counts = pair.sums.count[:, :, 0].sum(0)[levels]
        sums = pair.sums.latent[:, :, 0].sum(0)[levels]
        offset = torch.where(
            counts[..., None] > 0, sums / counts.clamp(min=1)[..., None] - mean[:, None], 0.0
        )
        between = (offset * (counts / n[:, None])[..., None]).mT @ offset
        there = counts > 0
        rank = (there.sum(1) - 1).clamp(min=1)
        harmonic = there.sum(1) / torch.where(there, 1 / counts.clamp(min=1), 0.0).sum(1)
        scale = rank.sqrt() / harmonic
    spread = (covariance - between).square()
    frobenius = torch.stack([spread[:, dims][:, :, dims].sum((1, 2)).sqrt() for dims in moments.views], dim=1)
    return frobenius * scale[:, None] * math.sqrt(2 * FOLDS / (FOLDS - 1))

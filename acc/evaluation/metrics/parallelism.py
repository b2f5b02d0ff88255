"""Parallelism: does a concept's coding direction stay the same from one context level to the next?

Source: Bernardi et al. 2020, with squared norms from pairs of disjoint halves, so that noise does not lengthen them
(the plain estimate pulls every cosine towards zero).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from acc.evaluation.metrics.labels import MIN_SAMPLES, Usable
from acc.evaluation.metrics.moments import Moments
from acc.evaluation.metrics.prepared import FOLDS, Column
from acc.evaluation.metrics.probes import LabelMoments

EVERYTHING = tuple(range(FOLDS))
HALVES = ((0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2))  # three splits, each two lines of two folds
SIGNIFICANT = 2.0  # standard errors of its noise by which a squared norm must exceed zero


def parallelism(moments: Moments, column: Column, labels: LabelMoments, squares: Tensor, can: Usable) -> tuple[Tensor, str]:
    """Return the mean cosine between coding directions at pairs of levels, per view (V,), and why any is NaN.

    The direction of a class concept is the matrix of its centred class means; of a real one the slope of the latents
    on it. ``squares`` (F, L) sums the squared labels (real concepts only). A level whose direction does not rise above
    its noise has no direction.
    """
    nothing = torch.full((len(moments.views),), math.nan, dtype=moments.total.dtype, device=moments.total.device)
    levels = can.pairs.diagonal().nonzero()[:, 0]
    if len(levels) < 2:
        return nothing, f"fewer than two levels of '{moments.context.name}' have {MIN_SAMPLES} samples"
    if column.kind == "cont":
        whole = _slopes(moments, labels, squares, levels, EVERYTHING)
        parts = torch.stack([_slopes(moments, labels, squares, levels, folds) for folds in HALVES])
    else:
        count = torch.stack([labels.count[list(half)].sum(0)[levels] for half in HALVES])
        present = (count > 0).all(0).all(0)
        if int(present.sum()) < 2:
            return nothing, f"no two classes of '{column.name}' are present at every level of '{moments.context.name}'"
        whole = _means(labels, levels, EVERYTHING, present)
        parts = torch.stack([_means(labels, levels, folds, present) for folds in HALVES])
    squared = (parts[0::2] * parts[1::2]).mean(0).sum(1)  # L D
    noise = _noise(moments, column, labels, squares, levels, whole)  # L V
    cosine = [
        _mean_cosine(whole[..., dims], squared[:, dims].sum(1), noise[:, view]) for view, dims in enumerate(moments.views)
    ]
    mean = torch.stack(cosine)
    missing = bool(mean.isnan().any())
    return mean, f"no coding direction of '{column.name}' rises above its noise" if missing else ""


def _mean_cosine(whole: Tensor, squared: Tensor, noise: Tensor) -> Tensor:
    """Return the mean over pairs of levels; whole (L, C, width) directions, squared (L,) their squared norms."""
    flat = whole.flatten(1)
    norm = torch.where((squared > SIGNIFICANT * noise) & (squared > 0), squared, torch.nan).sqrt()
    cosine = (flat @ flat.T / (norm[:, None] * norm[None, :])).clamp(-1, 1)
    first, second = torch.triu_indices(len(flat), len(flat), offset=1, device=flat.device)
    return cosine[first, second].nanmean()


def _means(labels: LabelMoments, levels: Tensor, folds: tuple[int, ...], present: Tensor) -> Tensor:
    """Return centred class means (L, C, D) of the samples in ``folds``."""
    count = labels.count[list(folds)].sum(0)[levels][:, present]
    sums = labels.latent[list(folds), :, 0].sum(0)[levels][:, present]
    means = sums / count[..., None]
    return means - means.mean(1, keepdim=True)


def _slopes(
    moments: Moments, labels: LabelMoments, squares: Tensor, levels: Tensor, folds: tuple[int, ...]
) -> Tensor:
    """Return slopes of the latents on the label (L, 1, D) of the samples in ``folds``."""
    assert labels.label is not None
    chosen = list(folds)
    n = moments.count[chosen].sum(0)[levels].clamp(min=1)[:, None]
    mean_z = moments.total[chosen].sum(0)[levels] / n
    mean_y = labels.label[chosen, :, 0].sum(0)[levels, None] / n
    variance = squares[chosen].sum(0)[levels, None] / n - mean_y.square()
    product = labels.latent[chosen, :, 0, 0].sum(0)[levels] / n
    return ((product - mean_z * mean_y) / variance.clamp(min=1e-12))[:, None]


def _noise(
    moments: Moments, column: Column, labels: LabelMoments, squares: Tensor, levels: Tensor, whole: Tensor
) -> Tensor:
    """Return the standard error of the squared norm of a direction that is not there, per level and view (L, V).

    A direction estimated from n samples has covariance S / n; the product of independent halves of it, averaged over
    three splits, has variance 2 F / (F - 1) x rank x |S|^2 / n^2 with F folds.
    """
    n = moments.count.sum(0)[levels].clamp(min=1)
    mean = moments.total.sum(0)[levels] / n[:, None]
    covariance = moments.second.sum(0)[levels] / n[:, None, None] - mean[:, :, None] * mean[:, None, :]
    if column.kind == "cont":
        assert labels.label is not None
        mean_y = labels.label[..., 0].sum(0)[levels] / n
        variance = squares.sum(0)[levels] / n - mean_y.square()
        between = whole.mT @ whole * variance[:, None, None]
        scale = 1 / (n * variance.clamp(min=1e-12))
    else:
        counts = labels.count.sum(0)[levels]
        sums = labels.latent[:, :, 0].sum(0)[levels]
        offset = torch.where(counts[..., None] > 0, sums / counts.clamp(min=1)[..., None] - mean[:, None], 0.0)
        between = (offset * (counts / n[:, None])[..., None]).mT @ offset
        there = counts > 0
        rank = (there.sum(1) - 1).clamp(min=1)
        harmonic = there.sum(1) / torch.where(there, 1 / counts.clamp(min=1), 0.0).sum(1)
        scale = rank.sqrt() / harmonic
    spread = (covariance - between).square()
    frobenius = torch.stack([spread[:, dims][:, :, dims].sum((1, 2)).sqrt() for dims in moments.views], dim=1)
    return frobenius * scale[:, None] * math.sqrt(2 * FOLDS / (FOLDS - 1))

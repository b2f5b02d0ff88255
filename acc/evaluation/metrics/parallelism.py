"""Parallelism: does a concept's coding direction stay the same from one context level to the next?

Source: Bernardi et al. 2020, with squared norms from pairs of disjoint halves, so that noise does not
lengthen them (the plain estimate pulls every cosine towards zero).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from acc.evaluation.metrics.labels import Pair
from acc.evaluation.metrics.prepared import FOLDS, MIN_SAMPLES
from acc.evaluation.metrics.values import Array, mean_of_defined

EVERYTHING = tuple(range(FOLDS))
HALVES = ((0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2))  # three splits, each two lines of two folds
SUBSETS = (EVERYTHING, *HALVES)
SIGNIFICANT = 2.0  # standard errors of its noise by which a squared norm must exceed zero


def parallelism(cosines: Array) -> Array:
    """Return the mean (...) of what is defined of ``cosines`` (..., pairs of levels), each cut off at 1 and -1."""
    return mean_of_defined(np.clip(cosines, -1, 1), axis=-1)


def cosines_of(pairs: Sequence[Pair]) -> tuple[Tensor, list[str]]:
    """Return cosines (P, V, pairs of levels) of coding directions, and for each concept why any view has none.

    ``pairs`` are concepts in one context, all real or all of as many classes. The direction of a class concept
    is the matrix of its centred class means; of a real one the slope of the latents on it. A level whose
    direction does not rise above its noise has no direction. An estimated cosine may exceed 1.
    """
    moments = pairs[0].moments
    usable = torch.stack([pair.can.pairs.diagonal() for pair in pairs])  # P L
    enough = usable.sum(1) >= 2
    if pairs[0].real:
        directions, defined = _slopes(pairs), enough
    else:
        directions, classes = _means(pairs, usable)
        defined = enough & (classes >= 2)
    whole, parts = directions[0], directions[1:]
    squared = (parts[0::2] * parts[1::2]).mean(0).sum(2)  # P L D
    noise = torch.stack([_noise(pair, of) for pair, of in zip(pairs, whole, strict=True)])  # P L V
    there = usable & defined[:, None]
    cosines = torch.stack(
        [
            _cosines(
                whole[..., dims], torch.where(there, squared[..., dims].sum(2), torch.nan), noise[..., view]
            )
            for view, dims in enumerate(moments.views)
        ],
        dim=1,
    )
    missing = cosines.isnan().all(2).any(1)
    told = zip(pairs, enough.tolist(), defined.tolist(), missing.tolist(), strict=True)
    return cosines, [_reason(pair, *known) for pair, *known in told]


def _reason(pair: Pair, enough: bool, defined: bool, missing: bool) -> str:
    name, context = pair.column.name, pair.moments.context.name
    if not enough:
        return f"fewer than two levels of '{context}' have {MIN_SAMPLES} usable samples"
    if not defined:
        return f"no two classes of '{name}' are present at every level of '{context}'"
    return f"no coding direction of '{name}' rises above its noise" if missing else ""


def _cosines(whole: Tensor, squared: Tensor, noise: Tensor) -> Tensor:
    """Return cosines (P, pairs of levels) of directions (P, L, C, width) with squared norms (P, L)."""
    flat = whole.flatten(2)
    norm = torch.where((squared > SIGNIFICANT * noise) & (squared > 0), squared, torch.nan).sqrt()
    cosine = flat @ flat.mT / (norm[:, :, None] * norm[:, None, :])
    first, second = torch.triu_indices(flat.shape[1], flat.shape[1], offset=1, device=flat.device)
    return cosine[:, first, second]


def _subset_sums(per_fold: Tensor) -> Tensor:
    """Return the sums over each of SUBSETS of folds; folds are the first axis."""
    chosen = torch.zeros(len(SUBSETS), FOLDS, dtype=per_fold.dtype, device=per_fold.device)
    for row, folds in enumerate(SUBSETS):
        chosen[row, list(folds)] = 1
    return (chosen @ per_fold.flatten(1)).reshape(len(SUBSETS), *per_fold.shape[1:])


def _means(pairs: Sequence[Pair], usable: Tensor) -> tuple[Tensor, Tensor]:
    """Return centred class means (S, P, L, C, D) in each subset, and how many classes they are of (P,).

    Only classes that every half of every usable level (P, L) has; the others are zero.
    """
    count = _subset_sums(torch.stack([pair.sums.count[:, :, 0] for pair in pairs], dim=1))  # S P L C
    sums = _subset_sums(torch.stack([pair.sums.latent[:, :, 0] for pair in pairs], dim=1))
    present = ((count > 0).all(0) | ~usable[..., None]).all(1)  # P C
    shown = present[:, None, :, None].to(sums.dtype)
    means = sums / count.clamp(min=1)[..., None] * shown
    centre = means.sum(3, keepdim=True) / shown.sum(2, keepdim=True).clamp(min=1)
    return (means - centre) * shown, present.sum(1)


def _slopes(pairs: Sequence[Pair]) -> Tensor:
    """Return slopes of the latents on the label (S, P, L, 1, D) of the samples in each subset."""
    moments = pairs[0].moments
    n = _subset_sums(moments.count).clamp(min=1)[:, None, :, None]  # S 1 L 1
    mean_z = _subset_sums(moments.total)[:, None] / n
    labels = [pair.sums.label[:, :, 0] for pair in pairs if pair.sums.label is not None]
    mean_y = _subset_sums(torch.stack(labels, dim=1))[..., None] / n
    square = _subset_sums(torch.stack([pair.squares for pair in pairs], dim=1))[..., None] / n
    product = _subset_sums(torch.stack([pair.sums.latent[:, :, 0, 0] for pair in pairs], dim=1)) / n
    slopes: Tensor = (product - mean_z * mean_y) / (square - mean_y.square()).clamp(min=1e-12)
    return slopes[..., None, :]


def _noise(pair: Pair, whole: Tensor) -> Tensor:
    """Return the standard error of the squared norm of a direction (L, C, D) that is not there, (L, V).

    A direction estimated from n samples has covariance S / n; the product of independent halves of it,
    averaged over three splits, has variance 2 F / (F - 1) x rank x |S|^2 / n^2 with F folds.
    """
    moments = pair.moments
    n = moments.count.sum(0).clamp(min=1)
    if pair.real:
        variance = pair.variance
        between = whole.mT @ whole * variance[:, None, None]
        scale = 1 / (n * variance.clamp(min=1e-12))
    else:
        counts = pair.sums.count[:, :, 0].sum(0)
        sums = pair.sums.latent[:, :, 0].sum(0)
        offset = torch.where(
            counts[..., None] > 0, sums / counts.clamp(min=1)[..., None] - moments.mean[:, None], 0.0
        )
        between = (offset * (counts / n[:, None])[..., None]).mT @ offset
        there = counts > 0
        rank = (there.sum(1) - 1).clamp(min=1)
        harmonic = there.sum(1) / torch.where(there, 1 / counts.clamp(min=1), 0.0).sum(1).clamp(min=1e-300)
        scale = rank.sqrt() / harmonic.clamp(min=1)
    spread = (moments.covariance - between).square()
    frobenius = ((moments.member @ spread) * moments.member).sum(2).sqrt()
    return frobenius * scale[:, None] * math.sqrt(2 * FOLDS / (FOLDS - 1))

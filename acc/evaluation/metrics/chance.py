"""What the skills would be if the labels had nothing to do with the latents: the same probes on shuffled labels.

Labels of a concept are shuffled among the samples of one (fold, context level) cell, so that every cell keeps its
size and its classes, and the Cholesky factors of the real labels serve again. Sums and scores are float32 here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from acc.evaluation.metrics.labels import Usable
from acc.evaluation.metrics.moments import Moments
from acc.evaluation.metrics.prepared import FOLDS, Column
from acc.evaluation.metrics.probes import LabelMoments, Probes
from acc.evaluation.metrics.transfer import Transfer, class_mask, fit


def shuffles(moments: Moments, permutations: int, rng: np.random.Generator) -> Tensor:
    """Return (N, P) row numbers, shuffled within the (fold, level) cells of the sorted rows."""
    cell = moments.cell.cpu().numpy()
    keys = rng.random((permutations, len(cell))) + cell
    return torch.from_numpy(np.argsort(keys, axis=1).T.copy()).to(moments.cell.device)


def chance_skills(
    moments: Moments,
    column: Column,
    parts: Sequence[Tensor],
    labels: Tensor,
    shuffled: Tensor,
    can: Usable,
    home: int | None,
) -> tuple[Tensor, Tensor]:
    """Return within-context skills (P, V) of shuffled labels, and across-context skills (P, V), NaN but at ``home``.

    parts (N, width) float32 each view's latents, labels (N,), both sorted; shuffled (N, P); ``home`` is the view that
    holds the concept, if any.
    """
    drawn = labels[shuffled]
    sums = _shuffled_moments(moments, column, parts[0], drawn)
    probes = fit(moments, column, sums, range(len(moments.views)))
    within, across = [], []
    share = _sample_shares(moments, column, drawn)
    for view, (part, probe) in enumerate(zip(parts, probes, strict=True)):
        wide = view == home
        skill = _skills(moments, column, part, drawn, share, probe, can, wide=wide)
        within.append(Transfer(skill).within)
        across.append(Transfer(skill).across if wide else torch.full_like(within[-1], torch.nan))
    return torch.stack(within, dim=1), torch.stack(across, dim=1)


def _shuffled_moments(moments: Moments, column: Column, light: Tensor, drawn: Tensor) -> LabelMoments:
    permutations, width = drawn.shape[1], light.shape[1]
    real = column.kind == "cont"
    sums = []
    for start, stop in zip(moments.bounds[:-1], moments.bounds[1:], strict=True):
        part = drawn[start:stop]
        right = part.to(torch.float32) if real else _one_hot(part, column.classes).flatten(1)
        sums.append(right.T @ light[start:stop])
    shape = (FOLDS, moments.levels, permutations, column.classes, width)
    latent = torch.stack(sums).to(torch.float64).reshape(shape)
    if real:
        return LabelMoments(moments.count[..., None], latent, moments.cell_sums(drawn, permutations))
    # Shuffling within a cell keeps the number of each class in it.
    counts = moments.cell_sums(_one_hot(drawn[:, 0], column.classes).to(torch.float64), column.classes)
    return LabelMoments(counts, latent)


def _one_hot(codes: Tensor, classes: int) -> Tensor:
    return functional.one_hot(codes, classes).to(torch.float32)


def _skills(
    moments: Moments,
    column: Column,
    part: Tensor,
    drawn: Tensor,
    share: Tensor,
    probes: Probes,
    can: Usable,
    *,
    wide: bool,
) -> Tensor:
    """Return skills (P, fitted, tested); only the diagonal unless ``wide``."""
    levels = moments.levels
    weight, offset = probes.weight.to(torch.float32), probes.offset.to(torch.float32)
    mask = class_mask(can) if column.kind == "cat" else None
    total = torch.zeros(levels, levels, drawn.shape[1], device=part.device)  # tested, fitted, P
    for cell, (start, stop) in enumerate(zip(moments.bounds[:-1], moments.bounds[1:], strict=True)):
        fold, tested = divmod(cell, levels)
        fitted = slice(0, levels) if wide else slice(tested, tested + 1)
        w, b = weight[fold, fitted], offset[fold, fitted]  # L P w C
        flat = w.permute(2, 3, 0, 1).reshape(w.shape[2], -1)
        score = torch.addmm(b.permute(2, 0, 1).reshape(-1), part[start:stop], flat)
        score = score.reshape(stop - start, w.shape[3], w.shape[0], w.shape[1])  # n C L P
        if column.kind == "cont":
            error = (score[:, 0] - drawn[start:stop, None].to(torch.float32)).square()
        else:
            if mask is not None:
                score = score.masked_fill(~mask[tested][:, fitted][None, :, :, None], -torch.inf)
            hit = score.max(1).indices == drawn[start:stop, None]
            error = hit * share[start:stop, None]
        total[tested, fitted] += error.sum(0)
    return _corrected(total.permute(2, 1, 0).to(torch.float64), moments, column, drawn, can, wide=wide)


def _sample_shares(moments: Moments, column: Column, drawn: Tensor) -> Tensor:
    """Return each sample's weight (N, P): one over the number of its class in its level, so that classes count alike."""
    if column.kind == "cont":
        return torch.ones((), device=drawn.device)
    level = moments.cell % moments.levels
    index = level * column.classes + drawn[:, 0]
    count = torch.bincount(index, minlength=moments.levels * column.classes).clamp(min=1)
    return (1 / count.to(torch.float32))[level[:, None] * column.classes + drawn]


def _corrected(
    total: Tensor, moments: Moments, column: Column, drawn: Tensor, can: Usable, *, wide: bool
) -> Tensor:
    """Return skills (P, fitted, tested) from summed errors or weighted hits, NaN where nothing was scored."""
    if column.kind == "cat":
        # A class that may not be chosen is never hit, so it adds nothing to the total.
        classes = can.classes.sum(-1).clamp(min=2).to(total.dtype)
        skill = (total / classes - 1 / classes) / (1 - 1 / classes)
    else:
        samples = moments.count.sum(0).clamp(min=1)
        ones = torch.stack([drawn[:, 0], drawn[:, 0].square()], dim=1)
        sums = moments.cell_sums(ones, 2).sum(0) / samples[:, None]
        variance = (sums[:, 1] - sums[:, 0].square()).clamp(min=1e-300)
        skill = 1 - total / samples / variance
    scored = can.pairs if wide else can.pairs & torch.eye(moments.levels, dtype=torch.bool, device=total.device)
    return torch.where(scored, skill.clamp(-1, 1), torch.nan)

"""What the skills would be if labels had nothing to do with latents: the same probes on shuffled labels.

Labels of a concept are shuffled among the samples of one (fold, context level) cell, so that every cell keeps
its size and its classes, and the Cholesky factors of the real labels serve again. Sums and scores are
float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from acc.evaluation.metrics.labels import Pair
from acc.evaluation.metrics.moments import Moments
from acc.evaluation.metrics.prepared import FOLDS
from acc.evaluation.metrics.probes import LabelMoments, Probes, affine, hits
from acc.evaluation.metrics.transfer import Transfer, fit


def shuffles(moments: Moments, permutations: int, rng: np.random.Generator) -> Tensor:
    """Return (N, P) row numbers, shuffled within the (fold, level) cells of the sorted rows."""
    cell = moments.cell.cpu().numpy()
    keys = rng.random((permutations, len(cell))) + cell
    return torch.from_numpy(np.argsort(keys, axis=1).T.copy()).to(moments.cell.device)


def chance_skills(
    pair: Pair, parts: Sequence[Tensor], shuffled: Tensor, home: int | None
) -> tuple[Tensor, Tensor]:
    """Return within- and across-context skills (P, V) of shuffled labels; across is NaN but at ``home``.

    parts (N, width) float32 each view's latents, sorted; shuffled (N, P); ``home`` is the view that holds the
    concept, if any.
    """
    drawn = pair.values[shuffled]
    probes = fit(pair.moments, _shuffled_moments(pair, parts[0], drawn))
    share = _sample_shares(pair, drawn)
    within, across = [], []
    for view, (part, probe) in enumerate(zip(parts, probes, strict=True)):
        wide = view == home
        errors = _errors(pair, part, probe, (drawn, share), wide=wide)
        skill = Transfer(_skills(pair, errors, wide=wide))
        within.append(skill.within)
        across.append(skill.across if wide else torch.full_like(within[-1], torch.nan))
    return torch.stack(within, dim=1), torch.stack(across, dim=1)


def _shuffled_moments(pair: Pair, light: Tensor, drawn: Tensor) -> LabelMoments:
    moments, permutations = pair.moments, drawn.shape[1]
    sums = []
    for start, stop in pairwise(moments.bounds):
        part = drawn[start:stop]
        right = (
            part if pair.real else functional.one_hot(part, pair.column.classes).to(torch.uint8).flatten(1)
        )
        sums.append(right.to(torch.float32).T @ light[start:stop])
    shape = (FOLDS, moments.levels, permutations, pair.column.classes, light.shape[1])
    latent = torch.stack(sums).to(torch.float64).reshape(shape)
    # Shuffling within a cell keeps the number of each class in it.
    return LabelMoments(
        pair.sums.count, latent, moments.cell_sums(drawn, permutations) if pair.real else None
    )


def _errors(pair: Pair, part: Tensor, probes: Probes, labels: tuple[Tensor, Tensor], *, wide: bool) -> Tensor:
    """Return summed squared errors or weighted hits (P, fitted, tested); off the diagonal only if ``wide``.

    ``labels`` are the shuffled values (N, P) and each sample's share in its class (N, P).
    """
    moments, levels = pair.moments, pair.moments.levels
    drawn, share = (label.T.contiguous() if label.ndim else label for label in labels)
    weight, offset = probes.weight.to(torch.float32), probes.offset.to(torch.float32)
    mask = None if pair.real else pair.class_mask
    total = torch.zeros(levels, levels, drawn.shape[0], device=part.device)  # tested, fitted, P
    for cell, (start, stop) in enumerate(pairwise(moments.bounds)):
        fold, tested = divmod(cell, levels)
        fitted = slice(0, levels) if wide else slice(tested, tested + 1)
        w, b = weight[fold, fitted], offset[fold, fitted]  # L P width C, L P C
        score = affine(w, b, part[start:stop])  # C L P n
        if pair.real:
            error = (score[0] - drawn[:, start:stop].to(torch.float32)).square()
        else:
            if mask is not None:
                score = score.masked_fill(~mask[tested][:, fitted][:, :, None, None], -torch.inf)
            error = hits(score, drawn[:, start:stop]) * share[:, start:stop]
        total[tested, fitted] += error.sum(2)
    return total.permute(2, 1, 0).to(torch.float64)


def _sample_shares(pair: Pair, drawn: Tensor) -> Tensor:
    """Return one over the size of each sample's class in its level (N, P), so that classes count alike."""
    if pair.real:
        return torch.ones((), device=drawn.device)
    count = pair.sums.count.sum(0).clamp(min=1).to(torch.float32)
    level = pair.moments.cell % pair.moments.levels
    return (1 / count).flatten()[level[:, None] * pair.column.classes + drawn]


def _skills(pair: Pair, errors: Tensor, *, wide: bool) -> Tensor:
    """Return skills (P, fitted, tested), NaN where nothing was scored."""
    if pair.real:
        skill = 1 - errors / pair.moments.count.sum(0).clamp(min=1) / pair.variance
    else:
        # A class that may not be chosen is never hit, so it adds nothing to the sum.
        classes = pair.can.classes.sum(-1).clamp(min=2).to(errors.dtype)
        skill = (errors / classes - 1 / classes) / (1 - 1 / classes)
    diagonal = torch.eye(pair.moments.levels, dtype=torch.bool, device=errors.device)
    scored = pair.can.pairs if wide else pair.can.pairs & diagonal
    return torch.where(scored, skill.clamp(-1, 1), torch.nan)

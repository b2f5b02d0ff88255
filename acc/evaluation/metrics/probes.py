"""Linear probes of one concept, for every (fold, context level) at once, solved from moments.

All concepts, and all label permutations of one, share the Cholesky factor of their context: a regression
needs only another right-hand side, and a discriminant's within-class covariance is the total covariance less
one rank per class, which Woodbury's identity turns into a solve of classes x classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from acc.evaluation.metrics.moments import Moments, outside

FIRST_WINS = (
    1e-9  # taken from each class's score for each class before it: far above rounding, below any meaning
)


@dataclass(frozen=True, eq=False)
class Probes:
    """Affine scores of a view: weight (F, L, P, width, C), offset (F, L, P, C).

    P concepts, or shuffles of one concept's labels; C classes (1 for a regression).
    """

    weight: Tensor
    offset: Tensor


@dataclass(frozen=True, eq=False)
class LabelMoments:
    """Moments of latents with labels: of P concepts with C classes each, or of P shuffles of one.

    ``count`` (F, L, P or 1, C) samples per class; ``latent`` (F, L, P, C, D) sum of latents per class, or, for
    regressions (C = 1), of latents times the value; ``label`` and ``square`` (F, L, P) sums of the values and of
    their squares (regressions only).
    """

    count: Tensor
    latent: Tensor
    label: Tensor | None = None
    square: Tensor | None = None

    def without(self, left_out: LabelMoments) -> LabelMoments:
        """Return the moments without each of some groups of rows; see ``Moments.without_each``."""
        many = left_out.latent.shape[1] // self.latent.shape[1]

        def less(whole: Tensor | None, part: Tensor | None) -> Tensor | None:
            if whole is None or part is None:
                return None
            return whole.repeat(1, many, *[1] * (whole.ndim - 2)) - part

        count, latent = less(self.count, left_out.count), less(self.latent, left_out.latent)
        assert count is not None
        assert latent is not None
        return LabelMoments(
            count, latent, less(self.label, left_out.label), less(self.square, left_out.square)
        )

    def levels_at(self, chosen: slice) -> LabelMoments:
        """Return the moments at some of the levels."""
        return LabelMoments(
            self.count[:, chosen],
            self.latent[:, chosen],
            self.label[:, chosen] if self.label is not None else None,
            self.square[:, chosen] if self.square is not None else None,
        )


def joined(sums: Sequence[LabelMoments]) -> LabelMoments:
    """Return the moments of several concepts of the same kind and number of classes as one."""
    return LabelMoments(
        torch.cat([one.count for one in sums], dim=2),
        torch.cat([one.latent for one in sums], dim=2),
        torch.cat([one.label for one in sums if one.label is not None], dim=2)
        if sums[0].label is not None
        else None,
    )


def regressions(moments: Moments, view: int, labels: LabelMoments) -> Probes:
    """Return ridge regressions fitted on each level outside each fold."""
    assert labels.label is not None
    dims = moments.views[view]
    mean = moments.train_mean[..., dims][:, :, None]  # F L 1 w
    label_mean = outside(labels.label) / moments.train_count[..., None]  # F L P
    product = outside(labels.latent[..., 0, :])[..., dims] / moments.train_count[..., None, None]  # F L P w
    slope = _solve(moments.factors[view], product - label_mean[..., None] * mean)
    offset = label_mean - (slope * mean).sum(-1)
    return Probes(slope[..., None], offset[..., None])


def discriminants(moments: Moments, view: int, labels: LabelMoments) -> Probes:
    """Return shared-covariance discriminants with equal priors, fitted on each level outside each fold."""
    dims = moments.views[view]
    train = outside(labels.count)  # F L P|1 C
    mean = moments.train_mean[..., dims][:, :, None]  # F L 1 w
    class_mean = outside(labels.latent)[..., dims] / train.clamp(min=1)[..., None]
    centred = torch.where(train[..., None] > 0, class_mean - mean[..., None, :], 0.0)  # F L P C w
    weight = _within_class_solve(moments, view, centred, train)
    products = (centred.mT * weight).sum(-2)  # F L P C
    first = FIRST_WINS * torch.arange(products.shape[-1], dtype=products.dtype, device=products.device)
    offset = -0.5 * products - (weight * mean[..., None]).sum(-2) - first
    return Probes(weight, offset)


def _within_class_solve(moments: Moments, view: int, centred: Tensor, train: Tensor) -> Tensor:
    """Return (total + ridge - between)^-1 applied to the centred class means; (F, L, P, width, classes)."""
    folds, levels, permutations, classes, width = centred.shape
    flat = centred.reshape(folds, levels, permutations * classes, width)
    solved = _solve(moments.factors[view], flat).reshape(centred.shape).mT  # F L P w C
    share = (train / moments.train_count[:, :, None, None]).sqrt()  # F L P|1 C
    inner = centred @ solved  # F L P C C
    identity = torch.eye(classes, dtype=inner.dtype, device=inner.device)
    capacity = identity - share[..., :, None] * inner * share[..., None, :]
    correction: Tensor = torch.linalg.solve(capacity, share[..., :, None] * inner)
    return solved + solved @ (share[..., :, None] * correction)


def _solve(factor: Tensor, right: Tensor) -> Tensor:
    """Solve for right-hand sides that lie in the last axis; (F, L, any, width)."""
    solved: Tensor = torch.cholesky_solve(right.mT, factor).mT
    return solved


def scores(probes: Probes, fold: int, rows: Tensor) -> Tensor:
    """Return scores (C, L, P, n) of ``rows`` (n, width) of ``fold`` under the probes of every level."""
    return affine(probes.weight[fold], probes.offset[fold], rows)


def affine(weight: Tensor, offset: Tensor, rows: Tensor) -> Tensor:
    """Return scores (C, L, P, n) of ``rows`` (n, width) by weight (L, P, width, C) and offset (L, P, C)."""
    levels, permutations, width, classes = weight.shape
    flat = weight.permute(3, 0, 1, 2).reshape(-1, width)
    shift = offset.permute(2, 0, 1).reshape(-1, 1)
    return torch.addmm(shift, flat, rows.T).reshape(classes, levels, permutations, len(rows))


def hits(score: Tensor, truth: Tensor) -> Tensor:
    """Return where the true class has the best score; score (C, L, P, n), truth (P, n) -> (L, P, n) bool.

    Of equal scores the first class has the best; ``FIRST_WINS`` makes equal what differs by rounding alone.
    """
    best, winner = score[0].clone(), torch.zeros(score.shape[1:], dtype=torch.int16, device=score.device)
    for number in range(1, len(score)):  # an argmax over the first axis takes a hundred times as long
        winner.masked_fill_(score[number] > best, number)
        torch.maximum(best, score[number], out=best)
    return winner == truth.to(torch.int16)

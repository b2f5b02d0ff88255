"""Labels of one concept in the cells of one context: their moments, and which cells can be scored."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from acc.evaluation.metrics.moments import Moments, outside
from acc.evaluation.metrics.prepared import FOLDS, Column
from acc.evaluation.metrics.probes import LabelMoments

MIN_SAMPLES = 20  # of a context level
MIN_CLASS_SAMPLES = 3  # of a class, on the fitted and on the tested side
NO_VARIANCE = 1e-12  # of the concept's variance over all samples


@dataclass(frozen=True, eq=False)
class Usable:
    """Which (fitted level, tested level) pairs can be scored, and on which classes.

    pairs (L, L) bool; classes (L, L, C) bool; ``reasons`` maps the name of a level left out to why.
    """

    pairs: Tensor
    classes: Tensor
    reasons: dict[str, str]


def label_moments(moments: Moments, column: Column, z: Tensor, labels: Tensor) -> LabelMoments:
    """Return moments of sorted latents z (N, D) with sorted labels (N,)."""
    levels, width = moments.levels, z.shape[1]
    if column.kind == "cont":
        product = moments.cell_sums(z * labels[:, None], width)
        return LabelMoments(
            count=moments.count[..., None],
            latent=product[:, :, None, None],
            label=moments.cell_sums(labels[:, None], 1),
        )
    cells = FOLDS * levels * column.classes
    index = moments.cell * column.classes + labels
    latent = torch.zeros(cells, width, dtype=z.dtype, device=z.device).index_add_(0, index, z)
    count = torch.bincount(index, minlength=cells).to(z.dtype)
    return LabelMoments(
        count=count.reshape(FOLDS, levels, column.classes),
        latent=latent.reshape(FOLDS, levels, 1, column.classes, width),
    )


def usable(moments: Moments, column: Column, labels: Tensor, counts: Tensor) -> Usable:
    """Return what can be scored; labels (N,) sorted, counts (F, L, C) samples per cell and class."""
    samples = moments.count.sum(0)
    enough = samples >= MIN_SAMPLES
    if column.kind == "cont":
        ones = torch.stack([labels, labels.square()], dim=1)
        sums = moments.cell_sums(ones, 2).sum(0) / samples.clamp(min=1)[:, None]
        varies = sums[:, 1] - sums[:, 0].square() > NO_VARIANCE
        pairs = (enough & varies)[:, None] & (enough & varies)[None, :]
        classes = pairs[..., None]
    else:
        fitted = outside(counts).amin(0) >= MIN_CLASS_SAMPLES
        tested = counts.sum(0) >= MIN_CLASS_SAMPLES
        classes = fitted[:, None] & tested[None, :] & enough[:, None, None] & enough[None, :, None]
        pairs = classes.sum(-1) >= 2
        varies = (fitted & tested).sum(-1) >= 2
    return Usable(pairs, classes, _reasons(moments, column, samples, enough, varies))


def _reasons(moments: Moments, column: Column, samples: Tensor, enough: Tensor, varies: Tensor) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for name, n, is_enough, does_vary in zip(
        moments.context.level_names, samples.tolist(), enough.tolist(), varies.tolist(), strict=True
    ):
        where = f"{moments.context.name} = {name}"
        if not is_enough:
            reasons[name] = f"{where} has {int(n)} samples; {MIN_SAMPLES} are needed"
        elif not does_vary and column.kind == "cont":
            reasons[name] = f"'{column.name}' does not vary at {where}"
        elif not does_vary:
            reasons[name] = (
                f"at {where} fewer than two classes of '{column.name}' have {MIN_CLASS_SAMPLES} samples to fit and to test"
            )
    return reasons

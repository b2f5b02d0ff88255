"""One concept in the cells of one context: its labels' moments, and which cells can be scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from acc.evaluation.metrics.moments import Moments, outside
from acc.evaluation.metrics.prepared import FOLDS, MIN_SAMPLES, Column
from acc.evaluation.metrics.probes import LabelMoments

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


@dataclass(frozen=True, eq=False)
class Pair:
    """A concept in a context; ``values`` (N,) the concept's, sorted as the moments are."""

    moments: Moments
    column: Column
    values: Tensor
    sums: LabelMoments
    can: Usable

    @property
    def real(self) -> bool:
        """Whether the concept is a real number rather than a class."""
        return self.column.kind == "cont"

    @cached_property
    def cells(self) -> Tensor:
        """One where a sorted row is scored in a cell (cells, N): its level, or for classes its (level, class)."""
        level = self.moments.cell % self.moments.levels
        kinds = 1 if self.real else self.column.classes
        index = level if self.real else level * kinds + self.values
        of = torch.zeros(
            self.moments.levels * kinds,
            len(index),
            dtype=self.moments.total.dtype if self.real else torch.float32,
            device=index.device,
        )
        return of.scatter_(0, index[None], 1.0)

    def levels_at(self, chosen: slice) -> Pair:
        """Return the pair with some of the levels that ``without_each`` made of it."""
        return replace(self, moments=self.moments.levels_at(chosen), sums=self.sums.levels_at(chosen))

    @property
    def squares(self) -> Tensor:
        """Sum of squared values in each cell (F, L); for real concepts."""
        assert self.sums.square is not None
        return self.sums.square[..., 0]

    @cached_property
    def variance(self) -> Tensor:
        """Variance of the values at each level (L,), not zero; for real concepts."""
        assert self.sums.label is not None
        n = self.moments.count.sum(0).clamp(min=1)
        mean = self.sums.label[..., 0].sum(0) / n
        return (self.squares.sum(0) / n - mean.square()).clamp(min=NO_VARIANCE**2)

    @cached_property
    def class_mask(self) -> Tensor | None:
        """Classes that may be chosen (tested level, C, fitted level); None if all may everywhere."""
        return None if bool(self.can.classes.all()) else self.can.classes.permute(1, 2, 0)


def pair_of(moments: Moments, column: Column, z: Tensor) -> Pair:
    """Return ``column`` under ``moments``; z (N, D) sorted."""
    values = column.values[moments.order]
    sums = _label_moments(moments, column, z, values)
    return Pair(moments, column, values, sums, _usable(moments, column, values, sums.count[:, :, 0]))


def without_each(pairs: Sequence[Pair], group: Tensor, groups: range, z: Tensor) -> list[Pair]:
    """Return pairs of one context without each of some groups of rows: levels become groups x levels.

    group (N,), z (N, D) sorted. What can be scored stays what it was, and all rows keep their values.
    """
    fewer, left_out, rows = pairs[0].moments.without_each(group, groups, z)
    chosen = z[rows]
    return [
        replace(
            pair,
            moments=fewer,
            sums=pair.sums.without(_label_moments(left_out, pair.column, chosen, pair.values[rows])),
        )
        for pair in pairs
    ]


def _label_moments(moments: Moments, column: Column, z: Tensor, values: Tensor) -> LabelMoments:
    levels, width = moments.levels, z.shape[1]
    if column.kind == "cont":
        product = moments.cell_sums(z * values[:, None], width)
        return LabelMoments(
            count=moments.count[..., None, None],
            latent=product[:, :, None, None],
            label=moments.cell_sums(values[:, None], 1),
            square=moments.cell_sums(values[:, None].square(), 1),
        )
    cells = FOLDS * levels * column.classes
    index = moments.cell * column.classes + values
    latent = torch.zeros(cells, width, dtype=z.dtype, device=z.device).index_add_(0, index, z)
    count = torch.bincount(index, minlength=cells).to(z.dtype)
    return LabelMoments(
        count=count.reshape(FOLDS, levels, 1, column.classes),
        latent=latent.reshape(FOLDS, levels, 1, column.classes, width),
    )


def _usable(moments: Moments, column: Column, values: Tensor, counts: Tensor) -> Usable:
    """Return what can be scored; counts (F, L, C) samples per cell and class."""
    samples = moments.count.sum(0)
    enough = samples >= MIN_SAMPLES
    if column.kind == "cont":
        ones = torch.stack([values, values.square()], dim=1)
        sums = moments.cell_sums(ones, 2).sum(0) / samples.clamp(min=1)[:, None]
        varies = sums[:, 1] - sums[:, 0].square() > NO_VARIANCE
        pairs = (enough & varies)[:, None] & (enough & varies)[None, :]
        return Usable(pairs, pairs[..., None], _reasons(moments, column, enough, varies))
    fitted = outside(counts).amin(0) >= MIN_CLASS_SAMPLES
    tested = counts.sum(0) >= MIN_CLASS_SAMPLES
    classes = fitted[:, None] & tested[None, :] & enough[:, None, None] & enough[None, :, None]
    varies = (fitted & tested).sum(-1) >= 2
    return Usable(classes.sum(-1) >= 2, classes, _reasons(moments, column, enough, varies))


def _reasons(moments: Moments, column: Column, enough: Tensor, varies: Tensor) -> dict[str, str]:
    reasons: dict[str, str] = {}
    samples = moments.count.sum(0).tolist()
    for name, n, is_enough, does_vary in zip(
        moments.context.level_names, samples, enough.tolist(), varies.tolist(), strict=True
    ):
        where = f"{moments.context.name} = {name}"
        if not is_enough:
            reasons[name] = f"{where} has {int(n)} samples; {MIN_SAMPLES} are needed"
        elif not does_vary and column.kind == "cont":
            reasons[name] = f"'{column.name}' does not vary at {where}"
        elif not does_vary:
            reasons[name] = (
                f"at {where} fewer than two classes of '{column.name}' have "
                f"{MIN_CLASS_SAMPLES} samples to fit and to test"
            )
    return reasons

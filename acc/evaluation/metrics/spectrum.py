"""How many dimensions a latent really uses: effective rank and participation ratio.

Sources: Roy and Vetterli 2007 (effective rank); the participation ratio is the second-order Renyi count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from acc.evaluation.metrics.prepared import Prepared
from acc.evaluation.metrics.values import Value


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Ranks of raw (centred) and standardised latents, of all dimensions and of each group by name."""

    effective_rank: Value
    effective_rank_standardised: Value
    participation_ratio: Value
    participation_ratio_standardised: Value
    group_effective_rank: dict[str, Value]
    group_participation_ratio: dict[str, Value]


def spectrum(prepared: Prepared) -> Spectrum:
    """Return effective ranks and participation ratios; from covariances alone."""
    if prepared.too_few:
        none = Value(math.nan, prepared.too_few, higher_is_better=None)
        return Spectrum(none, none, none, none, {}, {})
    raw = prepared.covariance
    spread = torch.where(prepared.active, raw.diagonal().clamp(min=0).sqrt(), torch.inf)
    standardised = raw / spread[:, None] / spread
    groups = dict(zip(prepared.view_names[1:], prepared.views[1:], strict=True))
    return Spectrum(
        effective_rank=_effective_rank(raw),
        effective_rank_standardised=_effective_rank(standardised),
        participation_ratio=_participation_ratio(raw),
        participation_ratio_standardised=_participation_ratio(standardised),
        group_effective_rank={name: _effective_rank(raw[dims][:, dims]) for name, dims in groups.items()},
        group_participation_ratio={
            name: _participation_ratio(raw[dims][:, dims]) for name, dims in groups.items()
        },
    )


def _effective_rank(covariance: Tensor) -> Value:
    """Return exp of the entropy of the normalised singular values of centred latents."""
    singular = torch.linalg.eigvalsh(covariance).clamp(min=0).sqrt()
    return _count(torch.special.entr(singular / singular.sum().clamp(min=1e-300)).sum().exp(), singular)


def _participation_ratio(covariance: Tensor) -> Value:
    """Return (sum s^2)^2 / sum s^4 of the singular values s of centred latents."""
    trace, square = covariance.diagonal().sum(), covariance.square().sum()
    return _count(trace.square() / square.clamp(min=1e-300), trace)


def _count(count: Tensor, size: Tensor) -> Value:
    if float(size.sum()) <= 0:
        return Value(0.0, "all dimensions are constant", higher_is_better=None)
    return Value(float(count), higher_is_better=None)

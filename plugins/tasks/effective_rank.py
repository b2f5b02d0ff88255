"""Effective rank: how many dimensions of the latent the data really fills."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from acc.api import Batch, EvaluationTask, ModelOutput, Sums


class EffectiveRankTask(EvaluationTask):
    """Effective rank (Roy & Vetterli 2007) and participation ratio of the latent read, on held-out images.

    exp of the entropy of the normalised singular values of the centred posterior means, and (sum s^2)^2 / sum
    s^4 of the same; both from 1 (one direction) to the number of dimensions, 0 where nothing varies.
    ``fill`` is the rank as a part of the dimensions read.
    """

    label = "Effective rank"
    metrics = {"effective_rank": True, "participation_ratio": True, "fill": True}
    thresholds = {"fill": (0.3, 0.6)}

    def evaluate(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Sums:
        """Return sums of the latents and of their products."""
        z = self.latent(output).double()
        return {"n": len(z), "sum": z.sum(0), "products": z.T @ z}

    def summarise(self, sums: Mapping[str, Tensor]) -> dict[str, float | str]:
        """Return both ranks from the covariance's eigenvalues, which are the squared singular values."""
        mean = sums["sum"] / sums["n"]
        covariance = sums["products"] / sums["n"] - mean[:, None] * mean
        if not bool(torch.isfinite(covariance).all()):
            return dict.fromkeys(self.metrics, "the latents are not finite numbers")
        power = torch.linalg.eigvalsh(covariance).clamp(min=0)
        if not float(power.sum()) > 1e-12 * max(float(sums["products"].diagonal().sum()), 1e-300):
            return dict.fromkeys(self.metrics, 0.0)
        share = power.sqrt() / power.sqrt().sum()
        rank = float(torch.exp(torch.special.entr(share).sum()))
        ratio = float(power.sum().square() / power.square().sum())
        return {"effective_rank": rank, "participation_ratio": ratio, "fill": rank / len(power)}

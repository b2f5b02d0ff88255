"""Weight diversity: whether the units of a layer look for different things."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from acc.api import Batch, EvaluationTask, ModelOutput, Sums

CHUNK = 2048  # units compared at once


class WeightDiversityTask(EvaluationTask):
    """Diversity of the model's weights: 1 - mean squared cosine between the weight vectors of two units of a layer.

    Over all linear and convolutional layers with two units or more. 1: all are orthogonal; 0: all look for the
    same. ``least_diverse`` is the lowest of any layer. Of n units with d weights each at most min(n, d) can be
    orthogonal, so a wide layer stays a little below 1 (random weights: 1 - 1/d).
    """

    label = "Weight diversity"
    metrics = {"diversity": True, "least_diverse": True}
    thresholds = {"diversity": (0.7, 0.9), "least_diverse": (0.5, 0.8)}

    def evaluate(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Sums:
        """Return nothing of the images; only that there were some."""
        return {"n": len(batch)}

    def summarise(self, sums: Mapping[str, Tensor]) -> dict[str, float | str]:
        """Return mean and least diversity of the layers."""
        found = [
            _diversity(layer.weight.detach())
            for layer in self.model.modules()
            if isinstance(layer, nn.Linear | nn.Conv2d) and layer.weight.shape[0] > 1
        ]
        if not found:
            return dict.fromkeys(self.metrics, "no layer of the model has two units to compare")
        return {"diversity": sum(found) / len(found), "least_diverse": min(found)}


def _diversity(weight: Tensor) -> float:
    rows = weight.flatten(1).double()[:CHUNK]
    unit = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-300)
    n = len(unit)
    # The squared cosines of all pairs sum to the squared products of the smaller of the two Gram matrices.
    total = (unit.T @ unit if unit.shape[1] < n else unit @ unit.T).square().sum()
    alike = (total - unit.square().sum(1).square().sum()) / (n * (n - 1))
    return 1 - float(torch.clamp(alike, 0, 1))

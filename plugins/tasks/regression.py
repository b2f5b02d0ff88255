"""Regression: a head reads a real value from the latent."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acc.api import AccDataset, Baseline, Batch, ModelOutput, Param, Sums, TargetTask, TrainingRows


class RegressionTask(TargetTask):
    """Distance to a real target, in standard deviations of the dataset's column, so that weights compare.

    Metrics: mean absolute error in the target's own unit, and R2 (1 - squared error / variance) on the
    held-out rows.
    """

    label = "Regression"
    target = "real"
    metrics = {"mae": False, "r2": True}
    thresholds = {"r2": (0.7, 0.9)}

    loss = Param(
        "mse", choices=("mse", "smooth_l1"), help="squared difference, or linear beyond one deviation"
    )

    def build_head(self, in_dim: int, dataset: AccDataset) -> nn.Module:
        """Return ``(N, in_dim) -> (N,)`` in the target's unit."""
        return ScaledHead(self.layers(in_dim, 1), *self._moments(dataset))

    def compute_loss(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Tensor:
        """Return the mean over the batch, in (squared) standard deviations of the target."""
        assert isinstance(head, ScaledHead)
        return self._distance((head(self.latent(output)) - self.target_values(batch)) / head.spread)

    def evaluate(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Sums:
        """Return sums of errors and of the target's powers."""
        assert head is not None
        return _sums(head(self.latent(output)), self.target_values(batch))

    def summarise(self, sums: Mapping[str, Tensor]) -> dict[str, float | str]:
        """Return MAE and R2; R2 has no value where the target does not vary."""
        n = float(sums["n"])
        variance = float(sums["y2"]) / n - (float(sums["y"]) / n) ** 2
        scale = max(float(sums["y2"]) / n, 1e-30)
        r2: float | str = "the target does not vary on the held-out rows"
        if variance > 1e-12 * scale:
            r2 = 1.0 - float(sums["squared"]) / n / variance
        return {"mae": float(sums["absolute"]) / n, "r2": r2}

    def baseline(self, rows: TrainingRows, held_out: Batch | None = None) -> Baseline:
        """Return loss and metrics of always naming the mean of the training rows.

        The losses, also that on held-out rows, are in standard deviations of the whole dataset.
        """
        _, spread = self._moments(rows.dataset)
        truth = rows.target(self.column.name).double()
        error = (truth - truth.mean()) / (spread if spread > 0 else 1.0)
        loss = self._distance(error)
        mean = f"{float(truth.mean()):.4g} {self.column.unit}".strip()
        words = f"always naming the mean of the training rows, {mean}"
        if held_out is None:
            return Baseline(float(loss), words)
        told = self.target_values(held_out)
        named = rows.target(self.column.name).mean().expand_as(told)
        metrics = self.summarise({name: torch.as_tensor(value) for name, value in _sums(named, told).items()})
        of_held_out = float(self._distance((named - told) / (spread if spread > 0 else 1.0)))
        return Baseline(float(loss), words, metrics={"loss": of_held_out, **metrics})

    def _distance(self, error: Tensor) -> Tensor:
        """Return the loss of errors (N,) in standard deviations."""
        if self.loss == "smooth_l1":
            return F.smooth_l1_loss(error, torch.zeros_like(error))
        return error.square().mean()

    def _moments(self, dataset: AccDataset) -> tuple[float, float]:
        """Return mean and standard deviation of the target column over the whole dataset."""
        values = np.asarray(dataset.targets[self.column.name], dtype=np.float64)
        return float(values.mean()), float(values.std())


class ScaledHead(nn.Module):
    """A head whose layers work in standard deviations and whose answer is in the target's unit."""

    def __init__(self, layers: nn.Module, mean: float, spread: float) -> None:
        super().__init__()
        self.layers = layers
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("spread", torch.tensor(spread if spread > 0 else 1.0, dtype=torch.float32))

    mean: Tensor
    spread: Tensor

    def forward(self, latent_ND: Tensor) -> Tensor:
        """Return values ``(N,)`` in the target's unit."""
        return torch.addcmul(self.mean, self.layers(latent_ND).squeeze(1), self.spread)


def _sums(named: Tensor, truth: Tensor) -> Sums:
    named, truth = named.double(), truth.double()
    error = named - truth
    return {
        "absolute": error.abs().sum(),
        "squared": error.square().sum(),
        "y": truth.sum(),
        "y2": truth.square().sum(),
        "n": len(truth),
    }

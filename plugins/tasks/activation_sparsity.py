"""Activation sparsity: how few dimensions speak of each image."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from acc.api import Batch, EvaluationTask, ModelOutput, Param, Sums


class ActivationSparsityTask(EvaluationTask):
    """Sparsity of the latent read, on held-out images.

    ``sparsity``: Hoyer 2004, (sqrt(D) - |z|_1 / |z|_2) / (sqrt(D) - 1), a mean over images: 0 when all of the
    D dimensions are equally strong, 1 when one alone is not zero. ``silent``: the part of all activations that
    are smaller than ``threshold`` standard deviations of a unit normal.
    """

    label = "Activation sparsity"
    metrics = {"sparsity": True, "silent": True}

    threshold_sd = Param(0.1, min=0, max=10, help="activations smaller than this are silent")

    def evaluate(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Sums:
        """Return sums over images of both."""
        z = self.latent(output).double()
        width = z.shape[1]
        length = z.norm(dim=1)
        # A latent of zeros says nothing with any dimension; it counts as not sparse.
        ratio = z.abs().sum(1) / length.clamp(min=1e-300)
        hoyer = (width**0.5 - ratio) / (width**0.5 - 1) if width > 1 else ratio * 0
        return {
            "n": len(z),
            "sparsity": hoyer.where(length > 0, 0.0).sum(),
            "silent": (z.abs() < self.threshold_sd).double().mean(dim=1).sum(),
            "width": width * len(z),
        }

    def summarise(self, sums: Mapping[str, Tensor]) -> dict[str, float | str]:
        """Return the means; one dimension alone cannot be sparse."""
        n = sums["n"]
        one = float(sums["width"] / n) < 2
        sparsity = "one dimension is neither sparse nor dense" if one else float(sums["sparsity"] / n)
        return {"sparsity": sparsity, "silent": float(sums["silent"] / n)}

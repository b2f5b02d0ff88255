"""KL divergence: keeps the posterior near a standard normal, so that a code costs what it tells."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from acc.api import Baseline, Batch, ModelOutput, Param, Sums, Task, TrainingRows, TrainSpec

ACTIVE_NATS = 0.01  # a dimension that tells less than this of an image counts as unused


class KLDivergenceTask(Task):
    """KL divergence of the posterior from a standard normal, in nats.

    Summed over the latent dimensions read, a mean over images (and over places, for a spatial latent, so that
    a weight means the same with either bottleneck). With free bits, each dimension's mean over the batch
    costs at least that much, so nothing is gained by telling less (Kingma et al. 2016).

    Metrics: the divergence, and how many dimensions tell more than 0.01 nats.
    """

    label = "KL divergence"
    needs_posterior = True
    metrics = {"kl": False, "active_dimensions": True}
    thresholds = {"loss": None}  # little of it is no merit: a collapsed posterior has none

    warmup_steps = Param(
        0, min=0, help="updates in which the weight rises from 0; 0: the job's kl_warmup_steps"
    )
    free_bits = Param(0.0, min=0, max=100, unit="nats", help="what each dimension may tell at no cost")

    @property
    def needs_whole_batch(self) -> bool:  # type: ignore[override]
        """Whether free bits are asked for: what is clamped is a mean over the batch, so its parts do not add up."""
        return bool(self.free_bits > 0)

    def compute_loss(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Tensor:
        """Return the sum over dimensions of their mean divergence."""
        per_dimension = self._per_dimension(output).mean(dim=0)
        if self.free_bits > 0:
            per_dimension = per_dimension.clamp(min=self.free_bits)
        return per_dimension.sum()

    def weight_scale(self, step: int, train: TrainSpec) -> float:
        """Return the part of the weight at the task's update ``step``: rising, then 1 after the warm-up."""
        warmup = self.warmup_steps or train.kl_warmup_steps
        return min(1.0, (step + 1) / warmup) if warmup else 1.0

    def evaluate(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Sums:
        """Return the divergence of each dimension, summed over images."""
        return {"kl": self._per_dimension(output).sum(dim=0).double(), "n": len(batch)}

    def summarise(self, sums: Mapping[str, Tensor]) -> dict[str, float | str]:
        """Return the divergence and the number of dimensions in use."""
        per_dimension = sums["kl"] / sums["n"]
        return {
            "kl": float(per_dimension.sum()),
            "active_dimensions": float((per_dimension > ACTIVE_NATS).sum()),
        }

    def baseline(self, rows: TrainingRows, held_out: Batch | None = None) -> Baseline | None:
        """Return what a collapsed posterior costs: 0 nats, or the free bits of every dimension read."""
        start, end = self.latent_range
        words = "a collapsed posterior, which tells nothing of an image"
        if self.free_bits > 0:
            words = "the free bits of all dimensions; a posterior that tells no more than they allow"
        return Baseline(self.free_bits * (end - start), words, floor=True)

    def _per_dimension(self, output: ModelOutput) -> Tensor:
        """Return ``(N, width)`` nats."""
        mean, logvar = output.mean, output.logvar
        assert logvar is not None, "check_compatible refuses a model without a posterior"
        start, end = self.latent_range
        if (start, end) != (0, mean.shape[1]):
            mean, logvar = mean[:, start:end], logvar[:, start:end]
        kl = 0.5 * (mean.square() + torch.exp(logvar) - 1.0 - logvar)
        return kl.mean(dim=(2, 3)) if kl.dim() == 4 else kl

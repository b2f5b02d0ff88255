"""Capacity-annealed VAE: what the code may tell rises step by step."""

from __future__ import annotations

from torch import Tensor, nn

from acc.api import Batch, DatasetSpec, Method, ModelOutput, Paper, Param, Setup, StepContext, TrainingRows
from plugins.tasks.kl_divergence import KLDivergenceTask


class CapacityTask(KLDivergenceTask):
    """Distance of the KL divergence from a capacity that rises from 0 to ``most`` nats (Burgess et al. 2018).

    Metrics are those of the KL divergence.
    """

    label = "Capacity"
    needs_whole_batch = True  # the distance of a mean is no mean of distances
    free_bits = 0.0
    warmup_steps = 0

    most = Param(25.0, min=0, max=100_000, unit="nats", help="the capacity at the end")
    rise_steps = Param(100_000, min=1, max=1_000_000_000, help="updates of the task in which it rises from 0")

    def capacity(self, step: int) -> float:
        """Return the capacity at the task's update ``step``, in nats."""
        return float(self.most * min(1.0, step / self.rise_steps))

    def compute_loss(  # type: ignore[override]
        self, output: ModelOutput, batch: Batch, head: nn.Module | None, step: StepContext
    ) -> Tensor:
        """Return the absolute difference."""
        return (super().compute_loss(output, batch, head) - self.capacity(step.step)).abs()

    def baseline(self, rows: TrainingRows, held_out: Batch | None = None) -> None:
        """Return None: what a collapsed posterior costs depends on the step."""


class AnnealedVAE(Method):
    """A VAE whose code is held at a capacity that rises while it trains, so that it learns the largest factors first.

    Loss: reconstruction in nats of an image + gamma * |KL - C|, where C rises linearly from 0 to ``most`` nats.
    """

    label = "Capacity-annealed VAE"
    paper = Paper("Burgess et al.", 2018, "Understanding Disentangling in beta-VAE", "arXiv:1804.03599")

    gamma = Param(1000.0, min=0, max=1e6, help="what a nat off the capacity costs")
    most = Param(25.0, min=0, max=100_000, unit="nats", help="the capacity at the end")
    rise_steps = Param(100_000, min=1, max=1_000_000_000, help="updates in which the capacity rises from 0")

    def setup(self, data: DatasetSpec) -> Setup:
        """Return the Burgess VAE with a reconstruction and a capacity."""
        params = {"most": self.most, "rise_steps": self.rise_steps}
        return Setup(
            architecture="BurgessVAE",
            tasks=(
                self.reconstruction(data),
                {"task_class": "CapacityTask", "weight": self.gamma, "params": params},
            ),
            train={"optimizer": "adam", "lr": 5e-4, "weight_decay": 0.0, "batch_size": 64},
        )

"""Latent quantisation: each dimension of the code takes one of a few values of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from acc.api import (
    AccDataset,
    Batch,
    DatasetSpec,
    Method,
    Model,
    ModelOutput,
    ModelSpec,
    OptimizerGroup,
    Paper,
    Param,
    Posterior,
    Setup,
    Task,
    TaskError,
)
from plugins.models.burgess import BurgessAutoencoder


class QuantizedAutoencoder(BurgessAutoencoder):
    """The Burgess autoencoder with a grid for a code: each dimension takes one of ``values`` learned values."""

    label = "Quantised autoencoder"
    discrete = True
    values = Param(10, min=2, max=1024, help="that each dimension can take")

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.grid = nn.Parameter(torch.linspace(-0.5, 0.5, self.values).repeat(spec.latent_dim, 1))

    def optimizers(self) -> Sequence[OptimizerGroup]:
        """Return the grid's: the job's, but that no weight decay draws its values together."""
        return [OptimizerGroup([self.grid], "adamw")]

    def posterior(self, x_BCHW: Tensor) -> Posterior:
        """Return codes on the grid ``(N, D)``; extras: ``encoded``, ``codes`` (numbers of values), ``nearest``."""
        encoded = self.features(x_BCHW)
        codes = (encoded.detach()[:, :, None] - self.grid.detach()).abs().argmin(2)
        nearest = self.grid.gather(1, codes.T).T
        # The value is the grid's, the gradient goes straight through to the encoder.
        z = nearest.detach() + (encoded - encoded.detach())
        return Posterior(z, extras={"encoded": encoded, "codes": codes, "nearest": nearest})


class LatentQuantizationTask(Task):
    """Mean squared distance of the grid from what was encoded, and the other way round (Hsu et al. 2023)."""

    label = "Latent quantisation"
    reads_whole_latent = True
    thresholds = {"loss": None}

    def check_compatible(self, dataset: AccDataset, model: Model) -> None:
        """Also refuse a model without a grid."""
        super().check_compatible(dataset, model)
        if not isinstance(getattr(model, "grid", None), nn.Parameter):
            raise TaskError(
                f"{type(self).__name__} needs a model with a grid, such as QuantizedAutoencoder; "
                f"{model.spec.architecture} has none",
                field="task_class",
            )

    def compute_loss(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Mapping[str, Tensor]:
        """Return both."""
        encoded, nearest = output.extras["encoded"], output.extras["nearest"]
        return {
            "grid": (nearest - encoded.detach()).square().mean(),
            "commitment": (encoded - nearest.detach()).square().mean(),
        }


class QLAE(Method):
    """An autoencoder whose code lies on a grid, with strong weight decay: the same value means the same everywhere.

    Loss: binary cross-entropy, a mean over pixels + strength * (distance of the grid + distance of encodings). The
    values of a dimension are the architecture's.
    """

    label = "Latent quantisation (QLAE)"
    paper = Paper(
        "Hsu, Dorrell, Whittington, Wu & Finn",
        2023,
        "Disentanglement via Latent Quantization",
        "NeurIPS 2023, arXiv:2305.18378",
    )

    strength = Param(0.01, min=0, max=1000, help="what the distances from the grid count")

    def setup(self, data: DatasetSpec) -> Setup:
        """Return the quantised autoencoder with a reconstruction and the distances from the grid."""
        return Setup(
            architecture="QuantizedAutoencoder",
            tasks=(
                {"task_class": "ReconstructionTask", "params": {"loss": "bce"}},
                {"task_class": "LatentQuantizationTask", "weight": self.strength},
            ),
            train={"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.1, "batch_size": 128},
        )

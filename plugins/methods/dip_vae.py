"""DIP-VAE: dimensions that do not vary together, by their covariance over the data."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from acc.api import Batch, DatasetSpec, Method, ModelOutput, Paper, Param, Setup, Sums, Task


class DIPTask(Task):
    """Distance of the code's covariance over the batch from the identity (Kumar et al. 2018).

    The sum of squares off the diagonal, and ``diagonal`` times that of the diagonal's differences from 1. Of posterior
    means (I), or of the whole aggregate posterior, which adds the mean posterior variance to the diagonal (II).

    Metrics on held-out images: the largest absolute correlation of two dimensions.
    """

    label = "DIP covariance"
    needs_posterior = True
    needs_whole_batch = True
    metrics = {"largest_correlation": False}
    thresholds = {"loss": None, "largest_correlation": (0.3, 0.1)}

    version = Param("I", choices=("I", "II"), help="of posterior means, or of the whole posterior")
    diagonal = Param(10.0, min=0, max=1e6, help="how much more the diagonal counts than the rest")

    def compute_loss(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Tensor:
        """Return the weighted sum of squares."""
        start, end = self.latent_range
        mean = output.posterior_mean[:, start:end]
        centred = mean - mean.mean(dim=0)
        covariance = centred.T @ centred / len(mean)
        if self.version == "II":
            assert output.logvar is not None, "check_compatible refuses a model without a posterior"
            variance = output.logvar.exp()
            variance = variance.flatten(2).mean(2) if variance.dim() == 4 else variance
            covariance = covariance + torch.diag(variance[:, start:end].mean(dim=0))
        on = covariance.diagonal()
        off = covariance.square().sum() - on.square().sum()
        loss: Tensor = off + self.diagonal * (on - 1).square().sum()
        return loss

    def evaluate(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Sums:
        """Return the moments of the code."""
        z = self.latent(output).double()
        return {"n": len(z), "z": z.sum(0), "zz": z.T @ z}

    def summarise(self, sums: Mapping[str, Tensor]) -> dict[str, float | str]:
        """Return the largest absolute correlation of two dimensions."""
        n, z, zz = float(sums["n"]), sums["z"], sums["zz"]
        covariance = zz / n - torch.outer(z, z) / n**2
        spread = covariance.diagonal().clamp(min=1e-12).sqrt()
        correlation = (covariance / torch.outer(spread, spread)).abs()
        if len(correlation) < 2:
            return {"largest_correlation": "one dimension has none to vary with"}
        return {"largest_correlation": float(correlation.fill_diagonal_(-1.0).max())}


class DIPVAE(Method):
    """A VAE whose inferred prior is disentangled: the covariance of the code is drawn to the identity.

    Loss: reconstruction in nats of an image + KL + off_diagonal * (squares off the diagonal + diagonal * (squares of
    the diagonal's differences from 1)). Version I takes posterior means and 10 for ``diagonal``, version II the whole
    posterior and 1.
    """

    label = "DIP-VAE"
    paper = Paper(
        "Kumar, Sattigeri & Balakrishnan",
        2018,
        "Variational Inference of Disentangled Latent Concepts from Unlabeled Observations",
        "ICLR 2018",
    )

    version = Param(
        "I", choices=("I", "II"), help="I: covariance of posterior means; II: of the whole posterior"
    )
    off_diagonal = Param(10.0, min=0, max=1e6, help="weight of the squares off the diagonal")

    def setup(self, data: DatasetSpec) -> Setup:
        """Return the Burgess VAE with a reconstruction, a KL divergence and the covariance's distance."""
        params = {"version": self.version, "diagonal": 10.0 if self.version == "I" else 1.0}
        return Setup(
            architecture="BurgessVAE",
            tasks=(
                self.reconstruction(data),
                {"task_class": "KLDivergenceTask"},
                {"task_class": "DIPTask", "weight": self.off_diagonal, "params": params},
            ),
            train={"optimizer": "adam", "lr": 1e-4, "weight_decay": 0.0, "batch_size": 64},
        )

"""beta-TCVAE: of what a code costs, the dependence between its dimensions alone counts more."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from acc.api import Batch, DatasetSpec, Method, ModelOutput, Paper, Param, Setup, StepContext, Task

LOG_2PI = math.log(2 * math.pi)


class TotalCorrelationTask(Task):
    """The KL divergence in its three parts: mutual information, total correlation, and that of single dimensions.

    Estimated in the batch by minibatch-weighted sampling (Chen et al. 2018, equation S6), with the number of training
    rows. Their plain sum is an estimate of the KL divergence. In nats of an image.
    """

    label = "KL in three parts"
    needs_posterior = True
    needs_whole_batch = True
    thresholds = {"loss": None}

    alpha = Param(1.0, min=0, max=1e6, help="weight of the mutual information of code and image")
    beta = Param(6.0, min=0, max=1e6, help="weight of the total correlation")
    gamma = Param(1.0, min=0, max=1e6, help="weight of the dimensions' divergences from the prior")

    @property
    def part_weights(self) -> Mapping[str, float]:  # type: ignore[override]
        """Return what each part counts."""
        return {"mutual_information": self.alpha, "total_correlation": self.beta, "dimensions": self.gamma}

    def compute_loss(
        self, output: ModelOutput, batch: Batch, head: nn.Module | None, step: StepContext
    ) -> Mapping[str, Tensor]:
        """Return the three parts."""
        assert output.logvar is not None, "check_compatible refuses a model without a posterior"
        start, end = self.latent_range
        z, mean, logvar = (each[:, start:end] for each in (output.z, output.mean, output.logvar))
        # (i, j, d): the density of dimension d of the code of row i under the posterior of row j.
        difference = (z[:, None] - mean[None]).square() * torch.exp(-logvar)[None]
        log_each = -0.5 * (LOG_2PI + logvar[None] + difference)
        own = -0.5 * (LOG_2PI + logvar + (z - mean).square() * torch.exp(-logvar)).sum(1)
        log_count = math.log(len(z) * step.training_rows)
        joint = log_each.sum(2).logsumexp(1) - log_count
        product = (log_each.logsumexp(1) - log_count).sum(1)
        prior = -0.5 * (LOG_2PI + z.square()).sum(1)
        return {
            "mutual_information": (own - joint).mean(),
            "total_correlation": (joint - product).mean(),
            "dimensions": (product - prior).mean(),
        }


class BetaTCVAE(Method):
    """A VAE whose code pays ``beta`` times for dimensions that depend on each other, and once for the rest.

    Loss: reconstruction in nats of an image + alpha * mutual information + beta * total correlation + gamma * the
    dimensions' divergences.
    """

    label = "beta-TCVAE"
    paper = Paper(
        "Chen, Li, Grosse & Duvenaud",
        2018,
        "Isolating Sources of Disentanglement in Variational Autoencoders",
        "NeurIPS 2018, arXiv:1802.04942",
    )

    alpha = Param(1.0, min=0, max=1e6, help="weight of the mutual information of code and image")
    beta = Param(6.0, min=0, max=1e6, help="weight of the total correlation")
    gamma = Param(1.0, min=0, max=1e6, help="weight of the dimensions' divergences from the prior")

    def setup(self, data: DatasetSpec) -> Setup:
        """Return the Burgess VAE with a reconstruction and the KL divergence in three parts."""
        params = {"alpha": self.alpha, "beta": self.beta, "gamma": self.gamma}
        return Setup(
            architecture="BurgessVAE",
            tasks=(self.reconstruction(data), {"task_class": "TotalCorrelationTask", "params": params}),
            train={"optimizer": "adam", "lr": 1e-3, "weight_decay": 0.0, "batch_size": 2048},
        )

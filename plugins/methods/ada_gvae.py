"""Ada-GVAE: pairs of images that share most factors say which dimensions belong together."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acc.api import (
    AccDataset,
    Batch,
    DatasetSpec,
    Method,
    Model,
    ModelOutput,
    Paper,
    Param,
    Setup,
    StepContext,
    Sums,
    Task,
    TaskSpec,
)


def shared(mean_ND: Tensor, logvar_ND: Tensor, other_ND: Tensor, other_logvar_ND: Tensor) -> Tensor:
    """Return which dimensions a pair shares, ``(N, D)`` of bool, by the divergence of its two posteriors.

    Those whose divergence is at most the middle between the pair's least and largest one.
    """
    ratio = torch.exp(logvar_ND - other_logvar_ND)
    apart = (mean_ND - other_ND).square() * torch.exp(-other_logvar_ND)
    divergence = 0.5 * (ratio + apart - 1 + other_logvar_ND - logvar_ND)
    middle = 0.5 * (divergence.amax(dim=1, keepdim=True) + divergence.amin(dim=1, keepdim=True))
    return divergence <= middle


class PairsTask(Task):
    """Loss of pairs of rows, whose posteriors are averaged where they are alike (Locatello et al. 2020).

    The second of a pair is a training row that shares all but ``k`` factors with the first. Both are encoded,
    the dimensions that they share get mean and variance averaged, and both are drawn from that. Means over both.

    Metric on held-out rows: how many dimensions a pair shares.
    """

    label = "Pairs"
    needs_posterior = True
    reads_whole_latent = True
    metrics = {"shared": True}
    thresholds = {"loss": None, "shared": None}

    k = Param(1, min=1, max=64, help="factors that a pair may differ in")
    factors = Param("", help="targets that count as factors, with commas between; empty: all")
    beta = Param(1.0, min=0, max=10_000, help="what a nat of the code costs")

    model: Model

    @property
    def part_weights(self) -> Mapping[str, float]:  # type: ignore[override]
        """Return what each part counts."""
        return {"reconstruction": 1.0, "kl": self.beta}

    def attach(self, spec: TaskSpec, dataset: AccDataset, model: Model) -> None:
        """Also keep the model, by which the second of a pair is encoded."""
        super().attach(spec, dataset, model)
        self.model = model

    def partners(self, batch: Batch) -> Batch:
        """Return the second of each pair."""
        return batch.pairs(self.k, [name.strip() for name in self.factors.split(",") if name.strip()])

    def compute_loss(
        self, output: ModelOutput, batch: Batch, head: nn.Module | None, step: StepContext
    ) -> Mapping[str, Tensor]:
        """Return reconstruction and KL divergence, in nats of an image."""
        partners = self.partners(batch)
        other = step.model.encode(partners.images)
        assert output.logvar is not None
        assert other.logvar is not None
        alike = shared(
            output.mean.detach(), output.logvar.detach(), other.mean.detach(), other.logvar.detach()
        )
        mean = 0.5 * (output.mean + other.mean)
        logvar = (0.5 * (output.logvar.exp() + other.logvar.exp())).log()
        means = torch.cat([torch.where(alike, mean, each.mean) for each in (output, other)])
        logvars = torch.cat([torch.where(alike, logvar, each) for each in (output.logvar, other.logvar)])
        z = means
        if self.training:  # the model's noise: each row gets its own, however a batch is divided
            noise = torch.cat([step.model.noise(each.mean) for each in (output, other)])
            z = means + torch.exp(0.5 * logvars) * noise
        z = step.model.shield(z)
        logits = step.model.decode_logits(z).logits
        images = torch.cat([batch.images, partners.images])
        error = F.binary_cross_entropy_with_logits(logits, images, reduction="sum") / len(images)
        kl = 0.5 * (means.square() + logvars.exp() - 1 - logvars).sum(1).mean()
        return {"reconstruction": error, "kl": kl}

    def evaluate(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Sums:
        """Return the number of shared dimensions, summed over pairs."""
        other = self.model.encode(self.partners(batch).images)
        assert output.logvar is not None
        assert other.logvar is not None
        alike = shared(output.mean, output.logvar, other.mean, other.logvar)
        return {"n": len(batch), "shared": alike.double().sum()}


class AdaGVAE(Method):
    """A VAE that learns from pairs of images which differ in ``k`` factors, without being told in which.

    Loss, of both images of a pair: reconstruction in nats + beta * KL, where dimensions that they share have one
    posterior. The data must have targets, by which pairs are found.
    """

    label = "Ada-GVAE"
    paper = Paper(
        "Locatello et al.",
        2020,
        "Weakly-Supervised Disentanglement Without Compromises",
        "ICML 2020, arXiv:2002.02886",
    )

    beta = Param(1.0, min=0, max=10_000, help="what a nat of the code costs")
    k = Param(1, min=1, max=64, help="factors that a pair may differ in")

    def setup(self, data: DatasetSpec) -> Setup:
        """Return the Burgess VAE with the loss of pairs."""
        return Setup(
            architecture="BurgessVAE",
            tasks=({"task_class": "PairsTask", "params": {"k": self.k, "beta": self.beta}},),
            train={"optimizer": "adam", "lr": 1e-4, "weight_decay": 0.0, "batch_size": 64},
        )

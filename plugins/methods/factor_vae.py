"""FactorVAE: a discriminator learns to tell codes from shuffled ones, and the encoder to leave it nothing to tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acc.api import (
    AccDataset,
    Batch,
    DatasetSpec,
    Method,
    ModelOutput,
    OptimizerGroup,
    Paper,
    Param,
    Setup,
    StepContext,
    Sums,
    Task,
)

LAYERS = 6


def shuffled(z_ND: Tensor, generator: torch.Generator) -> Tensor:
    """Return the codes with each dimension permuted over the rows by itself, so that none depends on another."""
    order = torch.rand(z_ND.shape, generator=generator, device=z_ND.device).argsort(dim=0)
    return z_ND.gather(0, order)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Within, what the module computes teaches its parameters nothing."""
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


class DiscriminatorTask(Task):
    """Total correlation of the code, by a discriminator that learns beside it (Kim & Mnih 2018).

    Two losses: ``total_correlation``, log D(z) - log(1 - D(z)), moves the encoder; ``discriminator``, the
    cross-entropy of codes and shuffled codes, moves the discriminator, by an Adam of its own. Neither reaches what the
    other trains. The discriminator's is no part of the task's loss.

    Metric on held-out images: the part of codes that the discriminator takes for codes; .5 where there is nothing to
    tell.
    """

    label = "Total correlation"
    needs_posterior = True
    needs_whole_batch = True
    metrics = {"told_apart": False}
    thresholds = {"loss": None, "told_apart": (0.7, 0.55)}

    hidden = Param(1000, min=1, max=65_536, help="width of the discriminator's six layers")
    lr = Param(1e-4, min=1e-9, max=10, help="learning rate of the discriminator")

    def build_head(self, in_dim: int, dataset: AccDataset) -> nn.Module:
        """Return the discriminator: ``(N, width)`` to two logits, of a code and of a shuffled one."""
        layers: list[nn.Module] = []
        for _ in range(LAYERS):
            layers += [nn.Linear(in_dim, self.hidden), nn.LeakyReLU(0.2)]
            in_dim = self.hidden
        return nn.Sequential(*layers, nn.Linear(in_dim, 2))

    def optimizers(self, head: nn.Module | None) -> Sequence[OptimizerGroup]:
        """Return the discriminator's Adam."""
        assert head is not None
        return [OptimizerGroup(head, "adam", lr=self.lr, betas=(0.5, 0.9), loss="discriminator")]

    def compute_loss(
        self, output: ModelOutput, batch: Batch, head: nn.Module | None, step: StepContext
    ) -> Mapping[str, Tensor]:
        """Return both losses."""
        assert head is not None
        z = self.latent(output)
        with frozen(head):
            code, other = head(z).unbind(1)
        told = head(torch.cat([z.detach(), shuffled(z.detach(), step.generator)]))
        truth = torch.arange(2, device=z.device).repeat_interleave(len(z))
        return {"total_correlation": (code - other).mean(), "discriminator": F.cross_entropy(told, truth)}

    def evaluate(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Sums:
        """Return how many codes are taken for codes."""
        assert head is not None
        return {"n": len(batch), "told_apart": (head(self.latent(output)).argmax(1) == 0).double().sum()}


class FactorVAE(Method):
    """A VAE whose code is factorised over the data: a discriminator finds what depends on what, the encoder undoes it.

    Loss: reconstruction in nats of an image + KL + gamma * total correlation.
    """

    label = "FactorVAE"
    paper = Paper("Kim & Mnih", 2018, "Disentangling by Factorising", "ICML 2018, arXiv:1802.05983")

    gamma = Param(35.0, min=0, max=1e6, help="weight of the total correlation")
    hidden = Param(1000, min=1, max=65_536, help="width of the discriminator's six layers")

    def setup(self, data: DatasetSpec) -> Setup:
        """Return the Burgess VAE with a reconstruction, a KL divergence and the discriminator."""
        return Setup(
            architecture="BurgessVAE",
            tasks=(
                self.reconstruction(data),
                {"task_class": "KLDivergenceTask"},
                {"task_class": "DiscriminatorTask", "weight": self.gamma, "params": {"hidden": self.hidden}},
            ),
            train={"optimizer": "adam", "lr": 1e-4, "weight_decay": 0.0, "batch_size": 64},
        )

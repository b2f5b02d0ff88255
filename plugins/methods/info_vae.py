"""InfoVAE: the code's distribution over all images is drawn to the prior, not that of each image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from acc.api import Batch, DatasetSpec, Method, ModelOutput, Paper, Param, Setup, StepContext, Task


def mmd(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    """Return the squared maximum mean discrepancy of two samples, with the kernel exp(-|x - y|^2 / D).

    The mean over all pairs, those of a row with itself included (Gretton et al. 2012, V-statistic), so at least 0.
    """
    scale = 1.0 / x_ND.shape[1]

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        squared = a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * (a @ b.T)
        return torch.exp(-scale * squared.clamp(min=0)).mean()

    return kernel(x_ND, x_ND) + kernel(y_MD, y_MD) - 2 * kernel(x_ND, y_MD)


class MMDTask(Task):
    """Squared maximum mean discrepancy between a batch of codes and as many draws of a standard normal.

    Kernel: exp(-|x - y|^2 / D) over the D dimensions read.
    """

    label = "MMD"
    needs_whole_batch = True
    thresholds = {"loss": None}

    def compute_loss(
        self, output: ModelOutput, batch: Batch, head: nn.Module | None, step: StepContext
    ) -> Tensor:
        """Return the discrepancy."""
        z = self.latent(output)
        return mmd(z, torch.randn(z.shape, generator=step.generator, device=z.device))


class InfoVAE(Method):
    """A VAE whose code keeps its information, since all codes together are drawn to the prior, not each of them.

    Loss: reconstruction in nats of an image + (1 - alpha) * KL + (alpha + strength - 1) * MMD. With ``alpha = 1`` it
    is the MMD-VAE, without a KL divergence.
    """

    label = "InfoVAE"
    paper = Paper(
        "Zhao, Song & Ermon",
        2019,
        "InfoVAE: Balancing Learning and Inference in Variational Autoencoders",
        "AAAI 2019, arXiv:1706.02262",
    )

    alpha = Param(0.0, min=-100, max=1, help="how little a single image's posterior is drawn to the prior")
    strength = Param(1000.0, min=0, max=1e6, help="lambda: how much the codes of all images are")

    def setup(self, data: DatasetSpec) -> Setup:
        """Return the Burgess VAE with a reconstruction, a KL divergence and an MMD."""
        weight = max(0.0, self.alpha + self.strength - 1)
        return Setup(
            architecture="BurgessVAE",
            tasks=(
                self.reconstruction(data),
                {"task_class": "KLDivergenceTask", "weight": 1 - self.alpha},
                {"task_class": "MMDTask", "weight": weight},
            ),
            train={"optimizer": "adam", "lr": 1e-3, "weight_decay": 0.0, "batch_size": 100},
        )

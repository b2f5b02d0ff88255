"""beta-VAE: a VAE whose code has to pay more for what it tells."""

from __future__ import annotations

from acc.api import DatasetSpec, Method, Paper, Param, Setup


class BetaVAE(Method):
    """A VAE whose divergence from the prior counts ``beta`` times, so that the code tells independent things apart.

    Loss: reconstruction in nats of an image + beta * KL.
    """

    label = "beta-VAE"
    paper = Paper(
        "Higgins et al.",
        2017,
        "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework",
        "ICLR 2017",
    )

    beta = Param(4.0, min=0, max=10_000, help="what a nat of the code costs")

    def setup(self, data: DatasetSpec) -> Setup:
        """Return the Burgess VAE with a reconstruction and a weighted KL divergence."""
        return Setup(
            architecture="BurgessVAE",
            tasks=(self.reconstruction(data), {"task_class": "KLDivergenceTask", "weight": self.beta}),
            train={"optimizer": "adam", "lr": 5e-4, "weight_decay": 0.0, "batch_size": 64},
        )

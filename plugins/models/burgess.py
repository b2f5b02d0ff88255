"""The convolutional architecture that most papers on disentanglement train: Burgess et al. 2018."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from acc.api import Decoded, Model, ModelSpec, Param, Posterior

UNIT = 16  # four halvings


class BurgessAutoencoder(Model):
    """Four strided convolutions and two dense layers on each side (Burgess et al. 2018, arXiv:1804.03599).

    Made for 64 x 64 images; others are padded by their edge to sides that are divisible by 16, and what is drawn is
    cut to the image.
    """

    label = "Burgess autoencoder"
    channels = Param(32, min=1, max=512, help="of each convolution")
    hidden = Param(256, min=1, max=65_536, help="width of the dense layers")

    codes_each = 1  # numbers that the encoder gives for each latent dimension

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        image, width = spec.image, self.channels
        self.right, self.below = -image.width % UNIT, -image.height % UNIT
        h, w = (image.height + self.below) // UNIT, (image.width + self.right) // UNIT
        layers: list[nn.Module] = []
        for channels in (image.channels, width, width, width):
            layers += [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.ReLU()]
        layers += [nn.Flatten(), nn.Linear(width * h * w, self.hidden), nn.ReLU()]
        layers += [nn.Linear(self.hidden, self.hidden), nn.ReLU()]
        self.encoder = nn.Sequential(*layers, nn.Linear(self.hidden, self.codes_each * spec.latent_dim))
        layers = [
            nn.Linear(spec.latent_dim, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, self.hidden),
            nn.ReLU(),
        ]
        layers += [nn.Linear(self.hidden, width * h * w), nn.ReLU(), nn.Unflatten(1, (width, h, w))]
        for _ in range(3):
            layers += [nn.ConvTranspose2d(width, width, 4, stride=2, padding=1), nn.ReLU()]
        self.decoder = nn.Sequential(
            *layers, nn.ConvTranspose2d(width, image.channels, 4, stride=2, padding=1)
        )

    def features(self, x_BCHW: Tensor) -> Tensor:
        """Return what the encoder gives, ``(N, codes_each * D)``."""
        if self.right or self.below:
            x_BCHW = F.pad(x_BCHW, (0, self.right, 0, self.below), mode="replicate")
        encoded: Tensor = self.encoder(x_BCHW)
        return encoded

    def posterior(self, x_BCHW: Tensor) -> Posterior | tuple[Tensor, Tensor | None]:
        """Return the code ``(N, D)``, and None: it has no spread."""
        return self.features(x_BCHW), None

    def decode_logits(self, z: Tensor) -> Decoded:
        """Return image logits for codes ``(N, D)``."""
        drawn = self.decoder(z)
        return Decoded(drawn[:, :, : self.spec.image.height, : self.spec.image.width])


class BurgessVAE(BurgessAutoencoder):
    """The Burgess autoencoder with a Gaussian posterior, as beta-VAE, FactorVAE and their sisters have it."""

    label = "Burgess VAE"
    has_posterior = True
    codes_each = 2

    def posterior(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return posterior mean and log-variance, ``(N, D)`` each."""
        mean, logvar = self.features(x_BCHW).chunk(2, dim=1)
        return mean, logvar

"""The two plain convolutional architectures: a deterministic autoencoder and a variational one."""

from __future__ import annotations

from torch import Tensor, nn

from acc.models.base import Model
from acc.models.blocks import ConvDecoder, ConvEncoder
from acc.models.output import Decoded
from acc.params import Param
from acc.specs import ModelSpec


class Autoencoder(Model):
    """A convolutional autoencoder with a deterministic code.

    Factor groups name ranges of its code; nothing but the tasks that read them keeps the factors apart.
    """

    label = "Convolutional autoencoder"
    base_channels = Param(
        8, min=1, max=512, help="channels of the first stage; later ones have up to four times as many"
    )
    depth = Param(3, min=1, max=6, help="times the image is halved")

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.encoder = ConvEncoder(spec.image, self.base_channels, self.depth)
        self.to_mean = nn.Linear(self.encoder.width, spec.latent_dim)
        self.decoder = ConvDecoder(spec.image, spec.latent_dim, self.encoder.grid, self.depth)

    def posterior(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the code ``(N, D)``, and None: it has no spread."""
        return self.to_mean(self.encoder(x_BCHW)), None

    def decode_logits(self, z: Tensor) -> Decoded:
        """Return image logits for codes ``(N, D)``."""
        return Decoded(self.decoder(z))


class ConvVAE(Autoencoder):
    """A convolutional variational autoencoder with a diagonal Gaussian posterior (Kingma & Welling 2014)."""

    label = "Convolutional VAE"
    has_posterior = True

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.to_logvar = nn.Linear(self.encoder.width, spec.latent_dim)

    def posterior(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return posterior mean and log-variance, ``(N, D)`` each."""
        features = self.encoder(x_BCHW)
        return self.to_mean(features), self.to_logvar(features)

"""The two plain convolutional architectures: a deterministic autoencoder and a variational one."""

from __future__ import annotations

from torch import Tensor, nn

from acc.expansion import STAGES, ExpansionSpec, grown
from acc.models.base import Model
from acc.models.blocks import ConvDecoder, ConvEncoder
from acc.models.expand import Growth, Place
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
    encoder_stages = Param(0, min=0, max=32, help="residual convolutions at the encoder's coarsest grid")
    decoder_stages = Param(0, min=0, max=32, help="residual convolutions at the decoder's coarsest grid")

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.encoder = ConvEncoder(spec.image, self.base_channels, self.depth, self.encoder_stages)
        self.to_mean = nn.Linear(self.encoder.width, spec.latent_dim)
        self.decoder = ConvDecoder(
            spec.image, spec.latent_dim, self.encoder.grid, self.depth, self.decoder_stages
        )

    def posterior(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the code ``(N, D)``, and None: it has no spread."""
        return self.to_mean(self.encoder(x_BCHW)), None

    def decode_logits(self, z: Tensor) -> Decoded:
        """Return image logits for codes ``(N, D)``."""
        return Decoded(self.decoder(z))

    def growth(self, expansion: ExpansionSpec) -> Growth:
        """Return how it grows: by residual stages, or by latent dimensions at the end of the code."""
        spec = grown(self.spec, expansion, STAGES["Autoencoder"])
        if spec.latent_dim == self.latent_dim:
            part = "encoder" if expansion.where == "encoder_stage" else "decoder"
            here = len(getattr(self, part).stages)
            new = range(here, here + expansion.amount)
            weights = (f"{part}.stages.{n}.conv.{kind}" for n in new for kind in ("weight", "bias"))
            return Growth(spec, silent=frozenset(weights))
        read, kept = "decoder.expand.weight", self.latent_dim
        ways = ["to_mean", "to_logvar"] if self.has_posterior else ["to_mean"]
        codes = {f"{way}.{kind}": Place.first(0, kept) for way in ways for kind in ("weight", "bias")}
        return Growth(spec, {**codes, read: Place.first(1, kept)}, silent=frozenset({read}))


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

"""A linear autoencoder: what a code of this width can hold without any curve, as a floor for the others."""

from __future__ import annotations

from torch import Tensor, nn

from acc.api import Decoded, Model, ModelSpec


class LinearAutoencoder(Model):
    """One linear layer in, one out; its code spans the space of the principal components.

    The shortest architecture there is, and so the example of how to write one: ``posterior`` says what is
    encoded, ``decode_logits`` what is drawn (a sigmoid follows).
    """

    label = "Linear autoencoder"

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.shape = (spec.image.channels, spec.image.height, spec.image.width)
        pixels = spec.image.channels * spec.image.height * spec.image.width
        self.inward = nn.Linear(pixels, spec.latent_dim)
        self.outward = nn.Linear(spec.latent_dim, pixels)

    def posterior(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the code ``(N, D)``, and None: it has no spread."""
        return self.inward(x_BCHW.flatten(1)), None

    def decode_logits(self, z: Tensor) -> Decoded:
        """Return image logits for codes ``(N, D)``."""
        return Decoded(self.outward(z).unflatten(1, self.shape))

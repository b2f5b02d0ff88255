"""A VAE of dense layers alone, for small images and as a floor for convolutions."""

from __future__ import annotations

from torch import Tensor, nn

from acc.api import Decoded, Model, ModelSpec, Param


class MLPVAE(Model):
    """A VAE of dense layers (Kingma & Welling 2014, arXiv:1312.6114): ``depth`` hidden ones on each side."""

    label = "MLP VAE"
    has_posterior = True
    hidden = Param(256, min=1, max=65_536, help="width of the hidden layers")
    depth = Param(2, min=1, max=32, help="hidden layers on each side")

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        shape = (spec.image.channels, spec.image.height, spec.image.width)
        pixels = shape[0] * shape[1] * shape[2]
        self.encoder = nn.Sequential(nn.Flatten(), *self._layers(pixels, 2 * spec.latent_dim))
        self.decoder = nn.Sequential(*self._layers(spec.latent_dim, pixels), nn.Unflatten(1, shape))

    def _layers(self, wide_in: int, wide_out: int) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for _ in range(self.depth):
            layers += [nn.Linear(wide_in, self.hidden), nn.ReLU()]
            wide_in = self.hidden
        return [*layers, nn.Linear(wide_in, wide_out)]

    def posterior(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return posterior mean and log-variance, ``(N, D)`` each."""
        mean, logvar = self.encoder(x_BCHW).chunk(2, dim=1)
        return mean, logvar

    def decode_logits(self, z: Tensor) -> Decoded:
        """Return image logits for codes ``(N, D)``."""
        return Decoded(self.decoder(z))

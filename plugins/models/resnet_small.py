"""A small residual network: more depth than the plain convolutions for little more time."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from acc.api import Decoded, Model, ModelSpec, Param


class _Block(nn.Module):
    """Two convolutions around a shortcut, activations first (He et al. 2016, arXiv:1603.05027)."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.GroupNorm(groups, channels), nn.GroupNorm(groups, channels)
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        hidden = self.conv_1(F.silu(self.norm_1(x_BCHW)))
        mixed: Tensor = self.conv_2(F.silu(self.norm_2(hidden)))
        return x_BCHW + mixed


class ResNetSmallVAE(Model):
    """A VAE of residual blocks: at each of three grids a block, between them a halving or a doubling.

    Blocks as of He et al. 2016 (arXiv:1603.05027), with group normalisation, which knows no batch.
    """

    label = "ResNet-small VAE"
    has_posterior = True
    channels = Param(32, min=1, max=512, help="at the first grid; twice as many at the two after it")
    blocks = Param(1, min=1, max=16, help="residual blocks at each grid")

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        image, first = spec.image, self.channels
        self.right, self.below = -image.width % 8, -image.height % 8
        h, w = (image.height + self.below) // 8, (image.width + self.right) // 8
        widths = (first, 2 * first, 2 * first)
        down: list[nn.Module] = []
        before = image.channels
        for width in widths:
            down += [nn.Conv2d(before, width, 4, stride=2, padding=1), *self._blocks(width)]
            before = width
        self.encoder = nn.Sequential(
            *down, nn.SiLU(), nn.Flatten(), nn.Linear(before * h * w, 2 * spec.latent_dim)
        )
        up: list[nn.Module] = [nn.Linear(spec.latent_dim, before * h * w), nn.Unflatten(1, (before, h, w))]
        for width, after in zip(widths[::-1], (2 * first, first, first), strict=True):
            up += [*self._blocks(width), nn.SiLU(), nn.ConvTranspose2d(width, after, 4, stride=2, padding=1)]
        self.decoder = nn.Sequential(*up, nn.SiLU(), nn.Conv2d(first, image.channels, 3, padding=1))

    def _blocks(self, width: int) -> list[nn.Module]:
        groups = next(groups for groups in (8, 4, 2, 1) if width % groups == 0)
        return [_Block(width, groups) for _ in range(self.blocks)]

    def posterior(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return posterior mean and log-variance, ``(N, D)`` each."""
        if self.right or self.below:
            x_BCHW = F.pad(x_BCHW, (0, self.right, 0, self.below), mode="replicate")
        mean, logvar = self.encoder(x_BCHW).chunk(2, dim=1)
        return mean, logvar

    def decode_logits(self, z: Tensor) -> Decoded:
        """Return image logits for codes ``(N, D)``."""
        drawn = self.decoder(z)
        return Decoded(drawn[:, :, : self.spec.image.height, : self.spec.image.width])

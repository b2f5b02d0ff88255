"""Convolutional parts that the built-in architectures share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acc.specs import ImageShape


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


class PadTo(nn.Module):
    """Pads images on the right and below by repeating the edge, until both sides are multiples of a unit."""

    def __init__(self, image: ImageShape, unit_h: int, unit_w: int) -> None:
        super().__init__()
        self.right = -image.width % unit_w
        self.below = -image.height % unit_h

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if not (self.right or self.below):
            return x_BCHW
        return F.pad(x_BCHW, (0, self.right, 0, self.below), mode="replicate")


class ResidualConv(nn.Module):
    """Returns ``x + conv3x3(gelu(x))``; the same shape ``(N, C, h, w)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        mixed: Tensor = self.conv(F.gelu(x_BCHW))
        return x_BCHW + mixed


class PatchHead(nn.Module):
    """Turns features ``(N, C, h, w)`` into images, each place drawing its own patch, cropped to the image.

    Mixing over neighbours happens at the coarse grid, where it costs little; the full image is only shuffled.
    """

    def __init__(self, channels: int, image: ImageShape, patch_h: int, patch_w: int) -> None:
        super().__init__()
        self.image, self.patch_h, self.patch_w = image, patch_h, patch_w
        self.mix = ResidualConv(channels)
        self.to_pixels = nn.Conv2d(channels, image.channels * patch_h * patch_w, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return image logits ``(N, image channels, height, width)``."""
        pixels = self.to_pixels(F.gelu(self.mix(x_BCHW)))
        if self.patch_h == self.patch_w:
            whole = F.pixel_shuffle(pixels, self.patch_h)
        else:
            n, _, h, w = pixels.shape
            whole = (
                pixels.view(n, self.image.channels, self.patch_h, self.patch_w, h, w)
                .permute(0, 1, 4, 2, 5, 3)
                .reshape(n, self.image.channels, h * self.patch_h, w * self.patch_w)
            )
        return whole[:, :, : self.image.height, : self.image.width]


class ConvEncoder(nn.Module):
    """Halves the image ``depth`` times, doubling channels up to four times the first; then flattens.

    ``stages`` residual convolutions at the coarsest grid come last.
    """

    def __init__(self, image: ImageShape, base_channels: int, depth: int, stages: int = 0) -> None:
        super().__init__()
        unit = 2**depth
        layers: list[nn.Module] = [PadTo(image, unit, unit)]
        channels = image.channels
        for stage in range(depth):
            wider = base_channels * min(2**stage, 4)
            kernel = 5 if stage == 0 else 3
            layers += [nn.Conv2d(channels, wider, kernel, stride=2, padding=kernel // 2), nn.GELU()]
            channels = wider
        self.layers = nn.Sequential(*layers)
        self.stages = nn.Sequential(*(ResidualConv(channels) for _ in range(stages)))
        self.grid = (channels, ceil_div(image.height, unit), ceil_div(image.width, unit))

    @property
    def width(self) -> int:
        """Length of the flattened features."""
        channels, h, w = self.grid
        return channels * h * w

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return features ``(N, width)``."""
        return torch.flatten(self.stages(self.layers(x_BCHW)), 1)


class ConvDecoder(nn.Module):
    """Mirrors ConvEncoder down to a quarter of the image, where each place draws its patch."""

    def __init__(
        self, image: ImageShape, latent_dim: int, grid: tuple[int, int, int], depth: int, stages: int = 0
    ) -> None:
        super().__init__()
        channels, h, w = grid
        self.grid = grid
        self.expand = nn.Linear(latent_dim, channels * h * w)
        self.stages = nn.Sequential(*(ResidualConv(channels) for _ in range(stages)))
        layers: list[nn.Module] = [nn.GELU()]
        patch = 2 ** min(depth, 2)
        for _ in range(depth - min(depth, 2)):
            narrower = max(channels // 2, 8)
            layers += [nn.ConvTranspose2d(channels, narrower, 4, stride=2, padding=1), nn.GELU()]
            channels = narrower
        self.layers = nn.Sequential(*layers, PatchHead(channels, image, patch, patch))

    def forward(self, z_BD: Tensor) -> Tensor:
        """Return image logits ``(N, C, H, W)``."""
        logits: Tensor = self.layers(self.stages(self.expand(z_BD).view(-1, *self.grid)))
        return logits

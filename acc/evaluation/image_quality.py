"""How near one image is to another: PSNR and SSIM, for each image of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_MSE = 1e-10  # PSNR of equal images: 100 dB rather than infinity, so that means stay finite
SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2


def psnr(drawn_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each image ``(N,)`` in dB, at most 100; values in 0..1."""
    mse = (drawn_BCHW - truth_BCHW).square().flatten(1).mean(dim=1)
    return -10.0 * torch.log10(mse.clamp(min=LEAST_MSE))


def ssim(drawn_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
    """Return the structural similarity of each image ``(N,)`` in -1..1; values in 0..1.

    Wang, Bovik, Sheikh & Simoncelli 2004: Gaussian window of 11 pixels and sigma 1.5, only where the window
    lies inside the image; a smaller image has a window as large as fits (odd).
    """
    height, width = truth_BCHW.shape[2:]
    size = min(SSIM_WINDOW, *(side if side % 2 else side - 1 for side in (height, width)))
    down, across = (_windows(side, size, truth_BCHW) for side in (height, width))

    def blur(image: Tensor) -> Tensor:
        # Two products of matrices: of the images that are trained on they take an eighth of the time of convolutions.
        # What comes out lies on its side; all of it does, and the mean is the same.
        return (image @ across).transpose(2, 3) @ down

    mean_x, mean_y = blur(drawn_BCHW), blur(truth_BCHW)
    var_x = blur(drawn_BCHW.square()) - mean_x.square()
    var_y = blur(truth_BCHW.square()) - mean_y.square()
    covariance = blur(drawn_BCHW * truth_BCHW) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + SSIM_C1) * (2 * covariance + SSIM_C2)
    size_of = (mean_x.square() + mean_y.square() + SSIM_C1) * (var_x + var_y + SSIM_C2)
    return (likeness / size_of).flatten(1).mean(dim=1)


def _windows(side: int, size: int, like: Tensor) -> Tensor:
    """Return ``(side, side - size + 1)``: for each place of the Gaussian window on a line how it weighs the line."""
    offset = torch.arange(size, dtype=like.dtype, device=like.device) - size // 2
    bell = torch.exp(-offset.square() / (2 * SSIM_SIGMA**2))
    places = torch.arange(side, device=like.device)
    within = places[:, None] - places[None, : side - size + 1]
    return torch.where((within >= 0) & (within < size), (bell / bell.sum())[within.clamp(0, size - 1)], 0.0)

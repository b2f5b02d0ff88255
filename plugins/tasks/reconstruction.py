"""Reconstruction: the decoder draws the image that the encoder saw."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acc.api import Batch, ModelOutput, Param, Sums, Task, psnr, ssim


class ReconstructionTask(Task):
    """Distance between images and their reconstructions, a mean over pixels.

    Metrics: PSNR in dB and SSIM (Wang et al. 2004), means over images; values in 0..1, so the peak is 1.
    """

    label = "Reconstruction"
    needs_reconstruction = True
    reads_whole_latent = True
    metrics = {"psnr": True, "ssim": True}

    loss = Param(
        "mse", choices=("mse", "l1", "bce"), help="squared or absolute difference, or binary cross-entropy"
    )

    def compute_loss(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Tensor:
        """Return the mean over pixels and images."""
        if self.loss == "bce":
            return F.binary_cross_entropy_with_logits(output.logits, batch.images)
        if self.loss == "l1":
            return F.l1_loss(output.reconstruction, batch.images)
        return F.mse_loss(output.reconstruction, batch.images)

    def evaluate(self, output: ModelOutput, batch: Batch, head: nn.Module | None) -> Sums:
        """Return sums of PSNR and SSIM over the images."""
        return _sums(output.reconstruction, batch.images)

    def baseline(self, train: Batch, held_out: Batch) -> dict[str, float | str]:
        """Return the metrics of drawing the mean training image every time."""
        mean = train.images.mean(dim=0, keepdim=True).expand_as(held_out.images)
        sums: Mapping[str, Tensor] = {
            name: torch.as_tensor(value) for name, value in _sums(mean, held_out.images).items()
        }
        return self.summarise(sums)


def _sums(drawn: Tensor, images: Tensor) -> Sums:
    return {"psnr": psnr(drawn, images).sum(), "ssim": ssim(drawn, images).sum(), "n": len(images)}

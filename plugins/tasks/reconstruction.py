"""Reconstruction: the decoder draws the image that the encoder saw."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acc.api import Baseline, Batch, ModelOutput, Param, Sums, Task, TrainingRows, psnr, ssim

MEAN_IMAGE = "drawing the mean training image every time"
BLACK_IMAGE = "drawing an all-black image every time"


class ReconstructionTask(Task):
    """Distance between images and their reconstructions, a mean over pixels.

    Metrics: PSNR in dB and SSIM (Wang et al. 2004), means over images; values in 0..1, so the peak is 1.
    """

    label = "Reconstruction"
    needs_reconstruction = True
    reads_whole_latent = True
    metrics = {"psnr": True, "ssim": True}
    thresholds = {"psnr": (15, 20), "ssim": (0.5, 0.8)}

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

    def baseline(self, rows: TrainingRows, held_out: Batch | None = None) -> Baseline:
        """Return the loss of always drawing the mean training image or a black one, whichever loses less.

        Its metrics are of the mean image, but for the loss on held-out images, which is of the better one, too.
        """
        n, total = 0, torch.zeros(())
        for images in rows.images():
            n, total = n + len(images), total + images.sum(dim=0, dtype=torch.float64)
        mean = total / n
        if held_out is not None:  # which asks for metrics alone: the loss would read all images twice more
            return Baseline(math.nan, MEAN_IMAGE, metrics=self._drawn(mean.float(), held_out))
        return Baseline(*self._trivial(rows, mean, n))

    def _drawn(self, mean: Tensor, held_out: Batch) -> dict[str, float | str]:
        """Return the metrics of the mean image, drawn every time; the loss: of that or of a black one."""
        sums: dict[str, Tensor] = {}
        of_mean = of_black = 0.0
        for part in held_out.parts():
            images = part.images
            for name, value in _sums(mean[None], images).items():
                sums[name] = sums.get(name, torch.zeros(())) + torch.as_tensor(value).double()
            of_mean += float(self._distance(mean.expand_as(images), images)) * len(part)
            of_black += float(self._distance(torch.zeros_like(images), images)) * len(part)
        return {"loss": min(of_mean, of_black) / len(held_out), **self.summarise(sums)}

    def _distance(self, drawn: Tensor, images: Tensor) -> Tensor:
        """Return the loss of images that were drawn without a model, as values in 0..1."""
        if self.loss == "bce":
            return F.binary_cross_entropy(drawn.clamp(0, 1), images)
        return F.l1_loss(drawn, images) if self.loss == "l1" else F.mse_loss(drawn, images)

    def _trivial(self, rows: TrainingRows, mean: Tensor, n: int) -> tuple[float, str]:
        """Return what the better of mean and black image loses, and which it is."""
        if self.loss == "bce":  # linear in the image, so the mean says all; black costs infinitely much
            entropy = torch.special.entr(mean) + torch.special.entr(1 - mean)
            return float(entropy.mean()), MEAN_IMAGE
        of_mean, of_black = 0.0, 0.0
        for images in rows.images():
            x_BCHW = images.double()
            error, size = x_BCHW - mean, n * mean.numel()
            if self.loss == "l1":
                of_mean += float(error.abs().sum()) / size
                of_black += float(x_BCHW.sum()) / size
            else:
                of_mean += float(error.square().sum()) / size
                of_black += float(x_BCHW.square().sum()) / size
        return (of_black, BLACK_IMAGE) if of_black < of_mean else (of_mean, MEAN_IMAGE)


def _sums(drawn: Tensor, images: Tensor) -> Sums:
    return {"psnr": psnr(drawn, images).sum(), "ssim": ssim(drawn, images).sum(), "n": len(images)}

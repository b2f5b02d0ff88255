"""The loop that one would write by hand: the same network, losses and optimizer, and nothing of the platform."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acc.models import build
from acc.specs import ModelSpec


class BareLoop:
    """Trains reconstruction, KL divergence and the digits on images and labels that lie on the device.

    head: reads the digit from the first six dimensions; it begins as torch makes it, unless it is given.
    """

    def __init__(
        self,
        model: ModelSpec,
        images: Tensor,
        labels: Tensor,
        weights: Mapping[str, float],
        head: nn.Module | None = None,
    ) -> None:
        self.images, self.labels, self.weights = images, labels, weights
        self.model = build(model).to(images.device).train()
        self.head = (head or nn.Linear(6, 10)).to(images.device)
        parameters = [*self.model.parameters(), *self.head.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=1e-4, fused=True)

    def step(self, index: Tensor) -> Tensor:
        """Train on the rows ``index`` and return the weighted total of the losses."""
        x = self.images.index_select(0, index).to(torch.float32).mul_(1 / 255)
        output = self.model(x)
        assert output.logvar is not None
        kl = 0.5 * (output.mean.square() + output.logvar.exp() - 1 - output.logvar).mean(0).sum()
        read = self.head(output.latent[:, :6])
        total: Tensor = (
            self.weights["reconstruction"] * F.mse_loss(output.reconstruction, x)
            + self.weights["kl"] * kl
            + self.weights["digit"] * F.cross_entropy(read, self.labels.index_select(0, index))
        )
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()
        return total.detach()

"""Methods of the literature, as plugins: each trains, is measured, and is taken up again to the bit.

Written for the contract: annealed capacity (Burgess et al. 2018), total correlation by minibatch weights (Chen et al.
2018) and by a discriminator (Kim & Mnih 2018), a vector-quantised code with moving averages (van den Oord et al.
2017), two views (Chen et al. 2020), lazy layers, and the shapes in which these are usually written for other loops.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from acc.api import (
    AccDataset,
    Decoded,
    InvalidInput,
    Model,
    OptimizerGroup,
    Param,
    PluginSet,
    Posterior,
    StepContext,
    Task,
    train,
)
from acc.tests import helpers

DATA = helpers.blobs(64, seed=3)


class Capacity(Task):
    """|KL - C| with C rising over the job."""

    needs_posterior = True
    most = Param(5.0, min=0, max=1000, unit="nats", help="the last C")

    def compute_loss(self, output: Any, batch: Any, head: Any, step: StepContext) -> Any:
        kl = 0.5 * (output.mean.square() + output.logvar.exp() - 1 - output.logvar).sum(1).mean()
        return (kl - self.most * min(1.0, step.step / 10)).abs()


class TotalCorrelation(Task):
    """The three terms of the KL divergence, each a curve, by minibatch-weighted sampling."""

    needs_posterior = True
    needs_whole_batch = True
    part_weights = {"correlation": 6.0}

    def compute_loss(self, output: Any, batch: Any, head: Any, step: StepContext) -> Any:
        z, mean, logvar = output.z, output.mean, output.logvar

        def log_density(z: Any, mean: Any, logvar: Any) -> Any:
            return -0.5 * (math.log(2 * math.pi) + logvar + (z - mean).square() * torch.exp(-logvar))

        pairs = log_density(z[:, None], mean[None], logvar[None])
        n = math.log(len(z) * step.training_rows)
        joint = torch.logsumexp(pairs.sum(2), 1) - n
        product = (torch.logsumexp(pairs, 1) - n).sum(1)
        own = log_density(z, mean, logvar).sum(1)
        prior = log_density(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)
        return {
            "information": (own - joint).mean(),
            "correlation": (joint - product).mean(),
            "dimensions": (product - prior).mean(),
        }


class Discriminated(Task):
    """Total correlation by a discriminator with an optimizer of its own."""

    needs_posterior = True
    needs_whole_batch = True

    def build_head(self, in_dim: int, dataset: Any) -> Any:
        return nn.Sequential(nn.Linear(in_dim, 16), nn.LeakyReLU(0.2), nn.Linear(16, 2))

    def optimizers(self, head: Any) -> Any:
        return [OptimizerGroup(head, "adam", lr=1e-3, betas=(0.5, 0.9), loss="discriminator")]

    def compute_loss(self, output: Any, batch: Any, head: Any, step: StepContext) -> Any:
        z = self.latent(output)
        mixed = torch.stack(
            [z[torch.randperm(len(z), generator=step.generator), at] for at in range(z.shape[1])], 1
        )
        real, zero = head(z), torch.zeros(len(z), dtype=torch.long, device=z.device)
        told = F.cross_entropy(real, zero) + F.cross_entropy(head(mixed), zero + 1)
        return {"correlation": (real[:, 0] - real[:, 1]).mean(), "discriminator": told / 2}


class Quantised(Model):
    """Nearest codes of a book that follows the encoder by moving averages, at 4 x 4 places."""

    discrete = True
    codes = Param(16, min=2, max=8192, help="codes in the book")

    book: torch.Tensor
    count: torch.Tensor
    total: torch.Tensor

    def __init__(self, spec: Any) -> None:
        super().__init__(spec)
        channels, depth = spec.image.channels, spec.latent_dim
        self.encoder = nn.Sequential(nn.Conv2d(channels, 8, 4, 4), nn.ReLU(), nn.Conv2d(8, depth, 1))
        self.decoder = nn.Sequential(nn.Conv2d(depth, 8, 1), nn.ReLU(), nn.ConvTranspose2d(8, channels, 4, 4))
        self.register_buffer("book", torch.randn(self.codes, depth))
        self.register_buffer("count", torch.ones(self.codes))
        self.register_buffer("total", self.book.clone())

    def posterior(self, x_BCHW: Any) -> Any:
        e = self.encoder(x_BCHW)
        flat = e.permute(0, 2, 3, 1).flatten(0, 2)
        index = torch.cdist(flat, self.book).argmin(1)
        q = self.book[index].view(len(e), *e.shape[2:], -1).permute(0, 3, 1, 2)
        if self.training:
            with torch.no_grad():
                one = F.one_hot(index, self.codes).to(flat.dtype)
                self.count.mul_(0.9).add_(one.sum(0), alpha=0.1)
                self.total.mul_(0.9).add_(one.T @ flat, alpha=0.1)
                self.book.copy_(self.total / self.count.clamp(min=1e-3)[:, None])
        commitment = (e - q.detach()).square().flatten(1).mean(1)
        codes = index.view(len(e), *e.shape[2:])
        return Posterior(e + (q - e).detach(), extras={"commitment": commitment, "codes": codes})

    def decode_logits(self, z: Any) -> Decoded:
        return Decoded(self.decoder(z))


class Commitment(Task):
    def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
        return output.extras["commitment"].mean()


class RemembersItsModel(Task):
    """As it had to be written before: the model kept in attach, numbers drawn from torch's own generator."""

    def attach(self, spec: Any, dataset: Any, model: Any) -> None:
        super().attach(spec, dataset, model)
        self.net = model

    def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
        noisy = (batch.images + 0.1 * torch.randn_like(batch.images)).clamp(0, 1)
        return (self.latent(self.net.encode(noisy)) - self.latent(output)).square().mean()


class TwoViews(Task):
    """Two shifted views of each image find each other among all (NT-Xent)."""

    needs_whole_batch = True

    def build_head(self, in_dim: int, dataset: Any) -> Any:
        return nn.Sequential(nn.Linear(in_dim, 16), nn.ReLU(), nn.Linear(16, 8))

    def compute_loss(self, output: Any, batch: Any, head: Any, step: StepContext) -> Any:
        def view(images: Any) -> Any:
            shift = torch.randint(-2, 3, (2,), generator=step.generator, device=images.device).tolist()
            return torch.roll(images, shift, (2, 3))

        seen = step.model.encode(torch.cat([view(batch.images), view(batch.images)]))
        h = F.normalize(head(self.latent(seen)), dim=1)
        n = len(batch)
        alike = (h @ h.T / 0.5).masked_fill(torch.eye(2 * n, dtype=torch.bool, device=h.device), -1e9)
        return F.cross_entropy(alike, torch.arange(2 * n, device=h.device).roll(n))


class LazyLayers(Model):
    has_posterior = True

    def __init__(self, spec: Any) -> None:
        super().__init__(spec)
        self.encoder = nn.Sequential(nn.Flatten(), nn.LazyLinear(2 * spec.latent_dim))
        self.decoder = nn.LazyLinear(256)

    def posterior(self, x_BCHW: Any) -> Any:
        return self.encoder(x_BCHW).chunk(2, 1)

    def decode_logits(self, z: Any) -> Decoded:
        return Decoded(self.decoder(z).view(-1, 1, 16, 16))


class StepsInsideTheLoss(Discriminated):
    """The discriminator stepped inside of compute_loss, whether it trains or is measured."""

    def optimizers(self, head: Any) -> Any:
        return []

    def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:  # type: ignore[override]
        if not hasattr(self, "opt"):
            self.opt = torch.optim.Adam(head.parameters(), lr=1e-3)
        z = self.latent(output)
        self.opt.zero_grad()
        head(z.detach()).square().mean().backward()
        self.opt.step()
        self.opt.zero_grad()
        return (z @ head[0].weight.detach().T).square().mean()


CLASSES = PluginSet(
    Capacity,
    TotalCorrelation,
    Discriminated,
    Quantised,
    Commitment,
    RemembersItsModel,
    TwoViews,
    LazyLayers,
    StepsInsideTheLoss,
)


def go(model: str, task: str, steps: int, data: AccDataset = DATA, **fields: Any) -> Any:
    return train(
        data,
        tasks=["ReconstructionTask", task],
        model=model,
        latent_dim=4,
        classes=CLASSES,
        steps=steps,
        batch_size=8,
        device="cpu",
        **fields,
    )


CASES = [
    ("ConvVAE", "Capacity"),
    ("ConvVAE", "TotalCorrelation"),
    ("ConvVAE", "Discriminated"),
    ("Quantised", "Commitment"),
    ("ConvVAE", "RemembersItsModel"),
    ("ConvVAE", "TwoViews"),
    ("LazyLayers", "KLDivergenceTask"),
    ("ConvVAE", "StepsInsideTheLoss"),
]


@pytest.mark.parametrize(("model", "task"), CASES)
def test_it_trains_and_goes_on_to_the_bit(model: str, task: str) -> None:
    whole, part = go(model, task, 8), go(model, task, 4)
    again = go(model, task, 4, start_from=part.checkpoint)
    assert whole.checkpoint.tensors.keys() == again.checkpoint.tensors.keys()
    for name, tensor in whole.checkpoint.tensors.items():
        assert torch.equal(tensor, again.checkpoint.tensors[name]), name


@pytest.mark.parametrize(("model", "task"), CASES[:-1])
def test_it_is_measured_and_nothing_is_told_against_it(model: str, task: str) -> None:
    run = go(model, task, 4)
    assert not run._sink.alarms
    assert not [one.reason for one in run.evaluate().metrics if one.reason]


def test_a_task_that_cannot_be_measured_is_told_so_at_its_first_step() -> None:
    run = go("ConvVAE", "StepsInsideTheLoss", 4)
    (alarm,) = run._sink.alarms
    assert (alarm.kind, alarm.step, alarm.series) == ("proof", 1, "raw/stepsinsidetheloss")
    assert "does not require grad" in alarm.message
    assert "test_methods_that_pressed_the_contract.py, line" in alarm.message
    assert "no gradients, and self.training False" in alarm.message


def test_a_code_is_refused_what_needs_a_gaussian() -> None:
    with pytest.raises(InvalidInput, match="Quantised has discrete codes"):
        go("Quantised", "Capacity", 2)


def test_the_terms_of_the_divergence_add_up_to_it() -> None:
    run = go("ConvVAE", "TotalCorrelation", 6)
    blocks = run._sink.blocks
    rows = {
        name: np.concatenate([block.values[block.series.index(name)] for block in blocks])
        for name in blocks[0].series
    }
    parts = [rows[f"part/totalcorrelation/{name}"] for name in ("information", "correlation", "dimensions")]
    np.testing.assert_allclose(
        rows["raw/totalcorrelation"], parts[0] + 6 * parts[1] + parts[2], rtol=1e-4, atol=1e-4
    )

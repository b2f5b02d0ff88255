"""Each shipped method over the bare loop of the same math, written by hand: what its plugins cost in a step.

As `trainer_vs_bare_loop`: one process and one thread, CPU time, the same initial weights and random numbers, turns
taken, and both must end a round with the same loss, which is checked. A row for each method is the median of its
rounds' ratios.
"""

from __future__ import annotations

import copy
import itertools
import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from acc.api import AccDataset, TargetSpec, TrainJobSpec, TrainSpec
from acc.methods import made
from acc.plugins.shipped import shipped_plugins
from acc.rng import seed_for
from acc.specs import ModelSpec, TaskSpec
from acc.training.batch import IndexStream, Resident
from acc.training.run import MemorySink
from acc.training.settings import keep_freed_memory
from acc.training.split import split_indices
from acc.training.trainer import Trainer
from benchmarks.rows import Row, median, report

STEPS, ROUNDS, BATCH = 50, 5, 64
TOLERANCE = 2e-3  # of the last total; sums are added in another order
SMALLER: dict[str, dict[str, Any]] = {
    "SlotAttention": {"length": 16, "slots": 4},
    "TopKSAE": {"features": 512},
    "FactorVAE": {"hidden": 256},
}
NARROW = {"SlotAttentionAutoencoder": {"channels": 8}, "VQAutoencoder": {"channels": 16}}
"""Of methods whose papers train on GPUs: a step of them should be no longer than of the others."""


def squares() -> AccDataset:
    """Return 32 x 32 images of bright squares: eight heights, eight places across, three sizes, eight of each."""
    grid = np.array(list(itertools.product(range(8), range(8), range(3))) * 8)
    images = np.zeros((len(grid), 1, 32, 32), np.uint8)
    for image, (y, x, size) in zip(images, grid, strict=True):
        image[0, 3 * y : 3 * y + 4 + 2 * size, 3 * x : 3 * x + 4 + 2 * size] = 255
    names = ("height", "across", "size")
    columns = [
        TargetSpec(name=name, kind="class", classes=int(grid[:, i].max()) + 1) for i, name in enumerate(names)
    ]
    return AccDataset(images, {name: grid[:, i] for i, name in enumerate(names)}, columns)


def kl_of(output: Any) -> Tensor:
    found: Tensor = 0.5 * (output.mean.square() + output.logvar.exp() - 1 - output.logvar).sum(1).mean()
    return found


class Bare:
    """The network of a trainer that has not begun, the optimizer, and the losses of one method by hand."""

    def __init__(
        self, name: str, trainer: Trainer, images: Tensor, rows: int, partners: list[Tensor]
    ) -> None:
        self.model: Any = copy.deepcopy(trainer.model).train()
        heads: list[Any] = [
            copy.deepcopy(entry.head) for entry in trainer.tasks.entries.values() if entry.head is not None
        ]
        self.head: Any = heads[0] if heads else None
        self.images, self.rows, self.partners = images, rows, partners
        self.loss: Callable[[Tensor, Any], Tensor] = getattr(self, name.lower())
        self.generator = self.of_key(trainer, list(trainer.tasks.entries)[-1])
        train = trainer.train
        parameters: list[torch.nn.Parameter] = list(self.model.parameters())
        self.own: torch.optim.Optimizer | None = None
        if name == "FactorVAE":
            assert self.head is not None
            self.own = torch.optim.Adam(self.head.parameters(), lr=1e-4, betas=(0.5, 0.9), fused=True)
        elif name == "QLAE":
            grid: Any = self.model.grid
            parameters = [one for one in parameters if one is not grid]
            self.own = torch.optim.AdamW([grid], lr=train.lr, weight_decay=0, fused=True)
        elif self.head is not None:
            parameters += self.head.parameters()
        kind = torch.optim.AdamW if train.optimizer == "adamw" else torch.optim.Adam
        self.optimizer = kind(parameters, lr=train.lr, weight_decay=train.weight_decay, fused=True)

    @staticmethod
    def of_key(trainer: Trainer, key: str) -> torch.Generator:
        return torch.Generator().manual_seed(seed_for(trainer.train.seed, "step", key))

    def step(self, index: Tensor, number: int) -> Tensor:
        x = self.images.index_select(0, index).to(torch.float32).mul_(1 / 255)
        self.optimizer.zero_grad(set_to_none=True)
        if self.own is not None:
            self.own.zero_grad(set_to_none=True)
        self.at = number
        total = self.loss(x, self.model(x))
        total.backward()
        self.optimizer.step()
        if self.own is not None:
            self.own.step()
        return total.detach()

    def nats(self, output: Any, x: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(output.logits, x) * x[0].numel()

    def betavae(self, x: Tensor, output: Any) -> Tensor:
        return self.nats(output, x) + 4 * kl_of(output)

    def annealedvae(self, x: Tensor, output: Any) -> Tensor:
        return self.nats(output, x) + 1000 * (kl_of(output) - 25 * min(1.0, self.at / 100_000)).abs()

    def betatcvae(self, x: Tensor, output: Any) -> Tensor:
        z, mean, logvar = output.z, output.mean, output.logvar
        c = math.log(2 * math.pi)
        each = -0.5 * (c + logvar[None] + (z[:, None] - mean[None]).square() * (-logvar).exp()[None])
        own = -0.5 * (c + logvar + (z - mean).square() * (-logvar).exp()).sum(1)
        count = math.log(len(z) * self.rows)
        joint, product = each.sum(2).logsumexp(1) - count, (each.logsumexp(1) - count).sum(1)
        prior = -0.5 * (c + z.square()).sum(1)
        parts = (own - joint).mean() + 6 * (joint - product).mean() + (product - prior).mean()
        return self.nats(output, x) + parts

    def dipvae(self, x: Tensor, output: Any) -> Tensor:
        centred = output.mean - output.mean.mean(0)
        covariance = centred.T @ centred / len(x)
        on = covariance.diagonal()
        off = covariance.square().sum() - on.square().sum()
        return self.nats(output, x) + kl_of(output) + 10 * (off + 10 * (on - 1).square().sum())

    def infovae(self, x: Tensor, output: Any) -> Tensor:
        z = output.z
        prior = torch.randn(z.shape, generator=self.generator)

        def kernel(a: Tensor, b: Tensor) -> Tensor:
            squared = a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T
            return (-squared.clamp(min=0) / a.shape[1]).exp().mean()

        mmd = kernel(z, z) + kernel(prior, prior) - 2 * kernel(z, prior)
        return self.nats(output, x) + kl_of(output) + 999 * mmd

    def factorvae(self, x: Tensor, output: Any) -> Tensor:
        z, fixed = output.z, output.z.detach()
        order = torch.rand(z.shape, generator=self.generator).argsort(0)
        told = self.head(torch.cat([fixed, fixed.gather(0, order)]))
        F.cross_entropy(told, torch.arange(2).repeat_interleave(len(z))).backward()
        for parameter in self.head.parameters():
            parameter.requires_grad_(False)
        code, other = self.head(z).unbind(1)
        for parameter in self.head.parameters():
            parameter.requires_grad_(True)
        return self.nats(output, x) + kl_of(output) + 35 * (code - other).mean()

    def adagvae(self, x: Tensor, output: Any) -> Tensor:
        two = self.images.index_select(0, self.partners[self.at]).to(torch.float32).mul_(1 / 255)
        other = self.model(two)
        m, v, n, w = output.mean, output.logvar, other.mean, other.logvar
        with torch.no_grad():
            apart = 0.5 * ((v - w).exp() + (m - n).square() * (-w).exp() - 1 + w - v)
            alike = apart <= 0.5 * (apart.amax(1, keepdim=True) + apart.amin(1, keepdim=True))
        mean, logvar = 0.5 * (m + n), (0.5 * (v.exp() + w.exp())).log()
        means = torch.cat([torch.where(alike, mean, m), torch.where(alike, mean, n)])
        logvars = torch.cat([torch.where(alike, logvar, v), torch.where(alike, logvar, w)])
        z = means + (0.5 * logvars).exp() * torch.randn(means.shape, generator=self.generator)
        logits = self.model.decode_logits(z).logits
        error = F.binary_cross_entropy_with_logits(logits, torch.cat([x, two]), reduction="sum") / (
            2 * len(x)
        )
        return error + 0.5 * (means.square() + logvars.exp() - 1 - logvars).sum(1).mean()

    def vqvae(self, x: Tensor, output: Any) -> Tensor:
        model, encoded, codes = self.model, output.extras["encoded"], output.extras["codes"]
        with torch.no_grad():
            flat = encoded.permute(0, 2, 3, 1).flatten(0, 2)
            if self.at:
                hot = F.one_hot(codes.flatten(), len(model.book)).to(flat.dtype)
                model.used.lerp_(hot.sum(0), 0.01)
                model.sums.lerp_(hot.T @ flat, 0.01)
                n = model.used.sum()
                model.book.copy_(
                    model.sums / ((model.used + 1e-5) / (n + len(model.book) * 1e-5) * n)[:, None]
                )
            else:
                drawn = torch.randint(len(flat), (len(model.book),), generator=self.generator)
                model.book.copy_(flat[drawn])
                model.sums.copy_(model.book)
        commitment = (encoded - output.z.detach()).square().flatten(1).sum(1).mean()
        return F.mse_loss(output.reconstruction, x) * x[0].numel() + 0.25 * commitment

    def qlae(self, x: Tensor, output: Any) -> Tensor:
        encoded, nearest = output.extras["encoded"], output.extras["nearest"]
        apart = F.mse_loss(nearest, encoded.detach()) + F.mse_loss(encoded, nearest.detach())
        return F.binary_cross_entropy_with_logits(output.logits, x) + 0.01 * apart

    def topksae(self, x: Tensor, output: Any) -> Tensor:
        head = self.head
        with torch.no_grad():
            hidden = x
            for layer in list(self.model.encoder)[:10]:
                hidden = layer(hidden)
            seen = hidden
        if self.at == 0:
            head.begin(seen)
        scores = (seen - head.centre) @ head.inward.T + head.threshold
        values, places = scores.topk(32, dim=1)
        active = torch.zeros_like(scores).scatter(1, places, values.relu())
        words = F.normalize(head.words, dim=1)
        rest = seen - head.centre - active @ words
        dead = head.silent > 10_000
        others, places = scores.masked_fill(~dead, 0.0).topk(seen.shape[1] // 2, dim=1)
        told = torch.zeros_like(scores).scatter(1, places, others.relu()) @ words
        head.silent.add_(len(x)).masked_fill_((active > 0).any(0), 0.0)
        auxiliary = (rest.detach() - told).square().sum(1).mean() / head.variance * dead.any()
        error = rest.square().sum(1).mean() / head.variance
        return self.nats(output, x) + kl_of(output) + error + auxiliary / 32

    def slotattention(self, x: Tensor, output: Any) -> Tensor:
        return F.mse_loss(output.reconstruction, x)


def job_of(name: str, data: AccDataset) -> TrainJobSpec:
    """Return a short job of a method, its network small where the paper's is large."""
    setup = made(shipped_plugins().method(name)(**SMALLER.get(name, {})), data.spec("data"))
    tasks = tuple(
        TaskSpec(**{"key": f"t{number}", "name": str(number), "dataset": "data", **task})
        for number, task in enumerate(setup.tasks)
    )
    params = {**setup.params, **NARROW.get(setup.architecture, {})}
    model = ModelSpec(
        architecture=setup.architecture,
        image=data.spec("data").image,
        latent_dim=setup.latent_dim,
        params=params,
    )
    fixed: Mapping[str, Any] = {"device": "cpu", "threads": 1, "checkpoint_every_seconds": None}
    train = TrainSpec(**{**setup.train, "steps": STEPS, "batch_size": BATCH, **fixed})
    return TrainJobSpec(model=model, tasks=tasks, datasets={"data": data.spec("data")}, train=train)


def bare(name: str, data: AccDataset, job: TrainJobSpec) -> tuple[float, float]:
    """Return steps per CPU second and the last total of the loop that one would write by hand."""
    trainer = Trainer(job, {"data": data}, classes=shipped_plugins(), proof=False)
    rows, _ = split_indices(data, seed=job.model.seed, val_fraction=job.train.val_fraction)
    stream = IndexStream(
        rows, seed=0, content_hash=data.content_hash, batch_size=BATCH, device=torch.device("cpu")
    )
    drawn = [stream.draw(Resident(data, torch.device("cpu"), rows)) for _ in range(STEPS)]
    partners = [one.batch(one.images().float()).pairs(1).rows for one in drawn] if name == "AdaGVAE" else []
    loop = Bare(name, trainer, torch.from_numpy(np.asarray(data.images)), len(rows), partners)
    torch.manual_seed(job.train.seed)
    started = time.process_time()
    history = [loop.step(one.index, number) for number, one in enumerate(drawn)]
    last = float(history[-1])
    return STEPS / (time.process_time() - started), last


def platform(data: AccDataset, job: TrainJobSpec) -> tuple[float, float]:
    """Return steps per CPU second and the last total of the trainer."""
    trainer = Trainer(job, {"data": data}, classes=shipped_plugins(), sink=MemorySink(), proof=False)
    started = time.process_time()
    result = trainer.run()
    return STEPS / (time.process_time() - started), result.losses["total"]


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()  # as a job does; else chance says which of the two loops gets its memory anew at each step
    data = squares()
    for name in sys.argv[1:] or sorted(shipped_plugins().method_names):
        job = job_of(name, data)
        ratios, ours, theirs = [], [], []
        for round_ in range(ROUNDS + 1):
            if round_ % 2:
                their_rate, their_loss = bare(name, data, job)
                our_rate, our_loss = platform(data, job)
            else:
                our_rate, our_loss = platform(data, job)
                their_rate, their_loss = bare(name, data, job)
            if abs(our_loss - their_loss) > TOLERANCE * abs(their_loss):
                raise SystemExit(f"{name}: the trainer ended at {our_loss}, the bare loop at {their_loss}")
            if round_:  # the first round only warms up
                ratios.append(our_rate / their_rate)
                ours.append(our_rate)
                theirs.append(their_rate)
        told = f"{median(ours):.1f}, rounds {min(ratios):.3f} to {max(ratios):.3f}"
        what = f"{name}, steps per CPU second"
        report(Row(what, median(ratios), "x", 0.97, "higher", told, f"bare loop {median(theirs):.1f}"))


if __name__ == "__main__":
    main()

"""Processes that train one model together: each computes its share of every batch, all make the same update.

Gradients, weighted by the rows behind them, are summed over all ranks in one call together with the losses, so every
rank holds the same weights, optimizer and random states, and rank 0's checkpoint is that of a single process.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from acc.copies import end_unless
from acc.errors import AccError, InvalidInput
from acc.models import Model, ModelOutput
from acc.models.output import LazyDecode
from acc.specs import TrainJobSpec, parse
from acc.text import first_line
from acc.training.ranks.share import Share

CHECK_STEPS = 1000
"""So often, and before the last checkpoint, the ranks compare their weights and random states."""


class RankLost(AccError):
    """Another rank has died or does not answer; the job can go on from its last checkpoint."""


class RanksDiffer(AccError):
    """The ranks do not hold the same state any more."""


class Ranks:
    """This process's place among ``size`` ranks, and what they tell each other. Made by ``acc.training.ranks.join``.

    Every method that communicates is called by all ranks in the same order, and raises RankLost. It ends a copy of
    this process that a plugin has forked: that would speak, on the same connections, in the place of its original.
    """

    def __init__(self, rank: int, size: int, *, device: torch.device, timeout: float) -> None:
        self.rank, self.size, self.device = rank, size, device
        self._timeout = timeout
        self._process = os.getpid()
        # What is decided on the host travels by gloo, so that it never waits for a GPU.
        self._host = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout))

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which reports, is asked, and writes checkpoints."""
        return self.rank == 0

    def leave(self) -> None:
        """End the connections to the other ranks, and the threads that serve them.

        A thread of gloo's that outlives this may ask for the interpreter while that ends, which aborts the process.
        """
        end_unless(self._process)
        dist.destroy_process_group()
        del self._host

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all ranks, the same to the bit on each of them."""
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with self._heard():
            dist.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        torch._foreach_copy_(
            list(tensors), [part.view(own.shape) for part, own in zip(parts, tensors, strict=True)]
        )

    def gather(self, model: Model, output: ModelOutput, share: Share) -> ModelOutput:
        """Return what all ranks' rows of a batch were encoded to; gradients reach this rank's rows."""
        mean = self._gathered(output.mean, share)
        z = mean if output.z is output.mean else self._gathered(output.z, share)
        logvar = None if output.logvar is None else self._gathered(output.logvar, share)
        decode = LazyDecode(model.decode_logits, model.shield(z))
        extras = output.each_row(lambda rows: self._gathered(rows, share))
        return ModelOutput(
            mean=mean, logvar=logvar, z=z, decode=decode, extras=extras, batch_wide=output.batch_wide
        )

    def _gathered(self, rows: Tensor, share: Share) -> Tensor:
        gathered: Tensor = _Gather.apply(rows, share, self)  # type: ignore[no-untyped-call]
        return gathered

    def begin_broadcast(self, value: int) -> tuple[Tensor, Any]:
        """Have rank 0's ``value`` sent to all while they go on; see ``end_broadcast``."""
        message = torch.tensor([value], dtype=torch.int64)
        with self._heard():
            return message, dist.broadcast(message, src=0, group=self._host, async_op=True)

    def end_broadcast(self, pending: tuple[Tensor, Any]) -> int:
        """Wait for what ``begin_broadcast`` sent and return it."""
        message, work = pending
        with self._heard():
            work.wait()
        return int(message.item())

    def all_reduce_max(self, value: int) -> int:
        """Return the highest ``value`` of all ranks."""
        found = torch.tensor([value], dtype=torch.int64)
        with self._heard():
            dist.all_reduce(found, op=dist.ReduceOp.MAX, group=self._host)
        return int(found.item())

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's ``value`` on all ranks; plain data only."""
        data = bytearray(json.dumps(value).encode()) if self.leads else bytearray()
        with self._heard():
            length = torch.tensor([len(data)])
            dist.broadcast(length, src=0, group=self._host)
            text = torch.frombuffer(data or bytearray(int(length.item())), dtype=torch.uint8)
            dist.broadcast(text, src=0, group=self._host)
        return json.loads(text.numpy().tobytes())

    def share_random_state(self) -> None:
        """Give the generator of every rank's GPU the state of rank 0's; those of the CPU agree by the seed."""
        if self.device.type == "cuda":
            state = torch.cuda.get_rng_state(self.device)
            with self._heard():
                dist.broadcast(state, src=0, group=self._host)
            torch.cuda.set_rng_state(state, self.device)

    def compare(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Raise RanksDiffer unless all ranks hold the same tensors and random states."""
        random = {"rng.torch": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        state = {**tensors, **random}
        digest = hashlib.sha256()
        for name in sorted(state):
            digest.update(name.encode())
            data = state[name].detach().cpu().contiguous().flatten().view(torch.uint8)
            digest.update(data.numpy().tobytes())
        own = torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8).to(torch.int64)
        first, last = own.clone(), own.clone()
        with self._heard():
            dist.all_reduce(first, op=dist.ReduceOp.MIN, group=self._host)
            dist.all_reduce(last, op=dist.ReduceOp.MAX, group=self._host)
        if not torch.equal(first, last):
            raise RanksDiffer(
                f"the ranks did not hold the same weights and random states any more at step {step}. A task or "
                "model that draws random numbers of its own, or computes something else on each rank, cannot "
                "train on several; train with ranks 1"
            )

    @contextmanager
    def _heard(self) -> Iterator[None]:
        end_unless(self._process)
        try:
            yield
        except RuntimeError as error:  # gloo's and NCCL's errors have no class in common but this one
            raise RankLost(
                f"another rank was lost, or did not answer for {self._timeout:g} s ({first_line(error)})"
            ) from error


def sized(job: TrainJobSpec, ranks: Ranks | None) -> TrainJobSpec:
    """Return the job as so many ranks train it; raises InvalidInput (ranks) if it is for another number."""
    size, asked = ranks.size if ranks is not None else 1, job.train.ranks
    if asked == size:
        return job
    if asked != 1:
        there = f"and there are {size}" if size > 1 else "and this process is none of several; use ranks 1"
        raise InvalidInput({"ranks": f"this job is for {asked} ranks, {there}"})
    # Whoever starts the processes says how many there are.
    train = parse(type(job.train), {**job.train.model_dump(), "ranks": size})
    return job.model_copy(update={"train": train})


class _Gather(torch.autograd.Function):
    """Rows of all ranks as one batch. Each rank computes the same from it, so each keeps the gradient of its rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, share: Share, ranks: Ranks) -> Tensor:
        """Return ``(batch, ...)`` of this rank's ``(rows, ...)``."""
        ctx.share = share
        batch = rows.new_zeros((share.batch, *rows.shape[1:]))
        batch[share.start : share.end] = rows
        with ranks._heard():
            dist.all_reduce(batch)
        return batch

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of this rank's rows, as large as if its weight in the mean were 1."""
        share: Share = ctx.share
        return gradients[0][share.start : share.end] * (share.batch / share.rows), None, None

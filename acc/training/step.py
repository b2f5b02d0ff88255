"""One update: gradients of all passes, of all ranks, and what the optimizer makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from acc.models import Model
from acc.specs import TrainSpec
from acc.training.optim import NamedOptimizer
from acc.training.passes import network_passes, precision_on, records_graphs
from acc.training.ranks.share import Share, SharedNoise, mean_of

if TYPE_CHECKING:
    from acc.training.plan import Plan
    from acc.training.ranks.group import Ranks

GRAD_NORM_STEPS = 10
"""The gradient's norm is recorded at each step that clips or may be skipped, else at every tenth: under 0.1 % of a
step on a CPU (0.6 % at every step), and no more than 1 % where steps are short."""


@dataclass(frozen=True)
class Made:
    """What an update came to: raw losses and their factors in the total; the gradient's norm if it was measured."""

    losses: list[Tensor]
    factors: list[float]
    norm: Tensor | None


class Updates:
    """Makes the updates of one model. A batch that is computed whole, in one pass, takes the shortest way."""

    def __init__(
        self,
        model: Model,
        train: TrainSpec,
        optimizer: NamedOptimizer,
        device: torch.device,
        ranks: Ranks | None,
    ) -> None:
        self._model, self._train, self._optimizer, self._ranks = model, train, optimizer, ranks
        self._device = device
        rank, size = (ranks.rank, ranks.size) if ranks is not None else (0, 1)
        share = Share.of(train.batch_size, rank=rank, ranks=size, passes=train.accumulate)
        self._share = None if share.is_whole else share
        self._noise = None if self._share is None else SharedNoise(self._share)
        self._graphs = records_graphs(train, device)
        self.survives = False  # whether a task that fails is to be switched off
        self.scaler: torch.amp.GradScaler | None = None
        if precision_on(device, train.precision) == "fp16":
            self.scaler = torch.amp.GradScaler(device.type)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Within, the model's passes and its noise are what the specification asks for."""
        with network_passes(self._model, self._train, self._device):
            if self._noise is None:
                yield
                return
            self._model.noise = self._noise  # type: ignore[method-assign]
            try:
                yield
            finally:
                del self._model.noise  # the method of its class again

    def make(self, plan: Plan, lr: float, step: int, *, weighted: bool) -> Made:
        """Make one update of the tasks of ``plan`` and return what it came to."""
        optimizer, train = self._optimizer, self._train
        optimizer.inner.zero_grad(set_to_none=True)
        if self._share is None:
            losses = self._losses(plan)
            factors = plan.factors(train, weighted=weighted)
            total = _total(losses, factors)
            self._scaled(total).backward()
            losses, total = [loss.detach() for loss in losses], total.detach()
        else:
            losses, factors, total = self._divided(plan, self._share, weighted=weighted)
        norm = self._norm(step)
        optimizer.set_lr(lr)
        if self.scaler is not None:
            self.scaler.step(optimizer.inner)
            self.scaler.update()
        else:
            if train.on_nan == "skip" or self.survives:
                assert norm is not None
                optimizer.skip_unless_finite(total + norm)
            optimizer.inner.step()
        return Made(losses, factors, norm)

    def _losses(self, plan: Plan) -> list[Tensor]:
        if self._graphs:
            torch.compiler.cudagraph_mark_step_begin()
        together = self.survives and self._ranks is not None
        return plan.losses(self._model, self._share, self._ranks, together=together)

    def _divided(
        self, plan: Plan, share: Share, *, weighted: bool
    ) -> tuple[list[Tensor], list[float], Tensor]:
        """Compute this process's share of an update in its passes, and add up those of all ranks."""
        assert self._noise is not None
        self._noise.begin()
        factors: list[float] = []
        passes: list[list[Tensor]] = []
        for number in range(share.passes):
            self._noise.turn(number)
            losses = self._losses(plan)
            factors = factors or plan.factors(self._train, weighted=weighted)
            self._scaled(_total(losses, factors) * share.weight).backward()
            passes.append([loss.detach() for loss in losses])
            if self._graphs and not number:
                # A replay writes its gradients where the last one did, so they are added up elsewhere.
                for parameter in self._optimizer.parameters:
                    parameter.grad = None if parameter.grad is None else parameter.grad.clone()
        losses = mean_of(passes, share)
        if self._ranks is not None:
            gradients = [one.grad for one in self._optimizer.parameters if one.grad is not None]
            self._ranks.sum_([*gradients, *losses])
        return losses, factors, _total(losses, factors)

    def _scaled(self, total: Tensor) -> Tensor:
        return total if self.scaler is None else self.scaler.scale(total)

    def _norm(self, step: int) -> Tensor | None:
        """Return the gradient's length if it is needed or due, after clipping it if asked to."""
        train, optimizer = self._train, self._optimizer
        if self.scaler is not None:
            self.scaler.unscale_(optimizer.inner)
        if train.grad_clip_norm is not None:
            return torch.nn.utils.clip_grad_norm_(optimizer.parameters, train.grad_clip_norm)
        if train.on_nan == "skip" or self.survives or self.scaler is not None or step % GRAD_NORM_STEPS == 0:
            return optimizer.grad_norm()
        return None

    def state(self) -> dict[str, Tensor]:
        """Return the loss scale of fp16 and the updates since it last changed; empty for other precisions."""
        if self.scaler is None:
            return {}
        state = self.scaler.state_dict()
        return {"scale": torch.tensor(state["scale"]), "growth": torch.tensor(state["_growth_tracker"])}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over what ``state`` returned."""
        if self.scaler is not None and state:
            held = {"scale": float(state["scale"]), "_growth_tracker": int(state["growth"])}
            self.scaler.load_state_dict({**self.scaler.state_dict(), **held})


def _total(losses: Sequence[Tensor], factors: Sequence[float]) -> Tensor:
    total = losses[0] * factors[0]
    for loss, factor in zip(losses[1:], factors[1:], strict=True):
        total = total + loss * factor
    return total

"""An optimizer, its learning rate over time, and its state by parameter name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from acc.specs import TrainSpec

ONE_CYCLE_RISE = 0.3  # share of the steps in which the rate rises
ONE_CYCLE_START = 1 / 25  # first rate, as a part of the highest
ONE_CYCLE_END = 1e-4 / 25  # last rate, as a part of the highest


class Over(NamedTuple):
    """How a learning rate changes over the steps of a job; the fields are those of ``TrainSpec``."""

    schedule: str
    steps: int
    warmup: int = 0
    every: int = 1000
    factor: float = 0.1

    def at(self, step: int) -> float:
        """Return the part of the highest rate that ``step`` (0-based) has, a plateau left aside."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return rise * self._scheduled(step)

    def _scheduled(self, step: int) -> float:
        if self.schedule == "cosine":
            return _cosine(1.0, 0.0, step / self.steps)
        if self.schedule == "step":
            return float(self.factor ** (step // self.every))
        if self.schedule != "one_cycle":
            return 1.0
        rise = max(ONE_CYCLE_RISE * self.steps, 1.0)
        if step < rise:
            return _cosine(ONE_CYCLE_START, 1.0, step / rise)
        return _cosine(1.0, ONE_CYCLE_END, (step - rise) / max(self.steps - rise, 1.0))


def over(train: TrainSpec) -> Over:
    """Return how the job's learning rate changes."""
    return Over(train.lr_schedule, train.steps, train.lr_warmup_steps, train.lr_every_steps, train.lr_factor)


def lr_at(base: float, step: int, train: TrainSpec) -> float:
    """Return the learning rate of a job's ``step`` (0-based), which a resume does not change; a plateau left aside."""
    return base * over(train).at(step)


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(part, 1.0))) / 2


class Method(NamedTuple):
    """An optimizer with its constants, but for the learning rate's course."""

    optimizer: str
    lr: float
    beta1: float = 0.9
    beta2: float = 0.999
    momentum: float = 0.9
    weight_decay: float = 0.0

    @property
    def slots(self) -> frozenset[str]:
        """Names of what it keeps of each parameter."""
        if self.optimizer in {"sgd", "muon"}:
            return frozenset({"momentum_buffer"})
        return frozenset({"step", "exp_avg", "exp_avg_sq"})


def method(train: TrainSpec) -> Method:
    """Return the job's optimizer."""
    return Method(train.optimizer, train.lr, train.beta1, train.beta2, train.momentum, train.weight_decay)


class NamedOptimizer:
    """A fused optimizer whose parameters come and go by name while the state of the others stays.

    All parameters are one group: one fused kernel call a step, however many heads there are. Muon has no such kernel.
    """

    def __init__(
        self, parameters: Iterable[tuple[str, nn.Parameter]], kind: Method | TrainSpec, device: torch.device
    ) -> None:
        kind = self.kind = kind if isinstance(kind, Method) else method(kind)
        self._names: dict[nn.Parameter, str] = {parameter: name for name, parameter in parameters}
        self._fused = fused = device.type in {"cpu", "cuda"} and kind.optimizer != "muon"
        chosen: list[Any] = list(self._names) or [{"params": []}]
        lr, decay, betas = kind.lr, kind.weight_decay, (kind.beta1, kind.beta2)
        self.inner: torch.optim.Optimizer
        if kind.optimizer == "sgd":
            self.inner = torch.optim.SGD(
                chosen, lr=lr, momentum=kind.momentum, weight_decay=decay, fused=fused
            )
        elif kind.optimizer == "muon":
            # Scaled so that a rate is as large as AdamW's (Liu et al. 2025), which has the other weights.
            self.inner = torch.optim.Muon(
                chosen, lr=lr, momentum=kind.momentum, weight_decay=decay, adjust_lr_fn="match_rms_adamw"
            )
        else:
            cls = torch.optim.AdamW if kind.optimizer == "adamw" else torch.optim.Adam
            self.inner = cls(chosen, lr=lr, betas=betas, weight_decay=decay, fused=fused)
        self._group = self.inner.param_groups[0]
        self._is_sgd = kind.optimizer == "sgd" and kind.momentum > 0
        self._begin(self._names)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All parameters, in the order in which they came."""
        return self._group["params"]  # type: ignore[no-any-return]

    def set_lr(self, lr: float) -> None:
        """Use this learning rate from the next step on."""
        self._group["lr"] = lr

    @property
    def moves(self) -> bool:
        """Whether a parameter has a gradient."""
        return any(one.grad is not None for one in self.parameters)

    def skip_unless_finite(self, value: Tensor) -> None:
        """Let the next step change nothing, not even the moments, unless the scalar ``value`` is finite.

        The fused kernels take a flag for it, as gradient scalers use it, so the host need not wait. Where there
        are none the gradients are dropped, which asks the device.
        """
        if self._fused:
            self.inner.found_inf = torch.isfinite(value).logical_not().to(torch.float32)  # type: ignore[attr-defined]
        elif not torch.isfinite(value):
            self.inner.zero_grad(set_to_none=True)

    def skip_nothing(self) -> None:
        """Let every step count from now on, as if none had ever been left out."""
        if hasattr(self.inner, "found_inf"):
            del self.inner.found_inf

    def add(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
        """Train these parameters too, from a state of their own."""
        for name, parameter in parameters:
            self._names[parameter] = name
            self._begin([parameter])
            self._group["params"].append(parameter)

    def _begin(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give SGD's parameters a momentum of zero: the fused kernel takes no mixture of old and new ones."""
        if self._is_sgd:
            for parameter in parameters:
                self.inner.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    def remove(self, parameters: Iterable[nn.Parameter]) -> None:
        """Forget these parameters and their state."""
        gone = {id(parameter) for parameter in parameters}
        for parameter in [one for one in self._group["params"] if id(one) in gone]:
            self.inner.state.pop(parameter, None)
            self._names.pop(parameter, None)
        self._group["params"] = [one for one in self._group["params"] if id(one) not in gone]

    def state(self) -> dict[str, Tensor]:
        """Return the state as ``<parameter>/<slot>`` -> tensor (not copied)."""
        return {
            f"{self._names[parameter]}/{slot}": value
            for parameter in self._group["params"]
            for slot, value in self.inner.state.get(parameter, {}).items()
            if isinstance(value, Tensor)
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over what ``state`` has for parameters of the same name and shape."""
        slots: dict[str, dict[str, Tensor]] = {}
        for key, value in state.items():
            name, _, slot = key.rpartition("/")
            slots.setdefault(name, {})[slot] = value
        for parameter in self._group["params"]:
            found = slots.get(self._names[parameter], {})
            if found.keys() == self.kind.slots and all(
                value.dim() == 0 or value.shape == parameter.shape for value in found.values()
            ):
                self.inner.state[parameter] = {
                    slot: _like(parameter, value.detach().to(parameter.device))
                    for slot, value in found.items()
                }


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """Return a copy that lies in memory as the parameter does: fused kernels walk through both side by side."""
    if value.dim() == 0 or value.is_contiguous() == parameter.is_contiguous():
        return value.clone()
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)

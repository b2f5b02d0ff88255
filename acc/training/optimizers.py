"""All optimizers of a job: its own, and those that tasks or the model declare for parameters of theirs.

A group that names a loss steps on that alone, and nothing else does: a discriminator learns to tell apart what the
model learns to make alike, and neither has the other's gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from acc.errors import TaskError
from acc.specs import TrainSpec
from acc.training.losses import series
from acc.training.losses.windows import Windows
from acc.training.optim import Method, NamedOptimizer, Over, method, over
from acc.training.protocols import PointBlock

Kind = Literal["adam", "adamw", "sgd", "muon"]
Course = Literal["", "constant", "cosine", "one_cycle", "step", "plateau"]
NUMBERS = {
    "lr": "lr > 0, or None for the job's",
    "betas": "two numbers, each in 0..1 and below 1",
    "momentum": "0 <= momentum < 1",
    "weight_decay": "weight_decay >= 0",
    "warmup_steps": "warmup_steps >= 0",
    "every_steps": "every_steps >= 1",
    "factor": "0 < factor < 1",
    "patience_steps": "patience_steps >= 100",
}


@dataclass(frozen=True)
class OptimizerGroup:
    """Parameters with an optimizer of their own, declared by ``Task.optimizers`` or ``Model.optimizers``.

    parameters: a module or parameters of the task (of its head, or of modules that it keeps) or of the model.
    lr: None takes the job's, with all changes of it. schedule: '' takes the job's course of the rate, its warm-up and
    plateau with it, and ``warmup_steps`` count beside them. ``step`` multiplies by ``factor`` every ``every_steps``;
    ``plateau`` does so when the mean of the task's loss (of a model: the total) over 100 steps was not below its best
    for ``patience_steps`` steps.
    loss: of a task that returns its losses by name, the one that these parameters learn from; it is then no part of
    the task's sum, so that it moves nothing else. '' learns from the sum, as all others do.
    ``muon`` takes the weights of two dimensions, and AdamW the rest of the group.
    """

    parameters: nn.Module | Sequence[nn.Parameter]
    optimizer: Kind = "adam"
    lr: float | None = None
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Course = ""
    warmup_steps: int = 0
    every_steps: int = 1000
    factor: float = 0.1
    patience_steps: int = 1000
    loss: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.parameters, nn.Module):  # what an iterator gives is read more than once
            object.__setattr__(self, "parameters", tuple(self.parameters))

    def members(self) -> list[nn.Parameter]:
        """Return its parameters."""
        given = self.parameters
        return list(given.parameters() if isinstance(given, nn.Module) else given)

    def wrong(self) -> str:
        """Return, in words, what is wrong with it, or ''."""
        if self.optimizer not in get_args(Kind):
            return f"optimizer is {self.optimizer!r}; use one of: {', '.join(get_args(Kind))}"
        if self.schedule not in get_args(Course):
            return f"schedule is {self.schedule!r}; use '' or one of: {', '.join(get_args(Course)[1:])}"
        try:
            right = {
                "lr": self.lr is None or 0 < self.lr < math.inf,
                "betas": len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas),
                "momentum": 0 <= self.momentum < 1,
                "weight_decay": 0 <= self.weight_decay < math.inf,
                "warmup_steps": self.warmup_steps >= 0,
                "every_steps": self.every_steps >= 1,
                "factor": 0 < self.factor < 1,
                "patience_steps": self.patience_steps >= 100,
            }
        except TypeError as error:
            return f"a number is no number ({error})"
        for name, fits in right.items():
            if not fits:
                return f"{name} is {getattr(self, name)!r}; use {NUMBERS[name]}"
        return ""


class Plateau:
    """Lowers a rate when the mean of a series over 100 steps stays above its best. ``factor``: what it came to."""

    def __init__(self, name: str, *, part: float, patience: int) -> None:
        self._part, self._patience = part, patience
        self._windows = Windows(name)
        self.factor = 1.0

    def take(self, block: PointBlock) -> None:
        self._windows.take(block)

    def turn(self, step: int) -> None:
        """Close the window that ends after ``step`` steps, and lower the rate if it is time."""
        if self._windows.close(step) and self._windows.waited(step) >= self._patience:
            self.factor *= self._part
            self._windows.wait_anew(step)

    def restart(self) -> None:
        """Forget what the loss was, as after a command that changed what is trained; the rate stays."""
        self._windows.restart()

    def state(self) -> dict[str, float]:
        """Return what a checkpoint keeps; empty while nothing is known."""
        known = self._windows.state()
        return {**known, "factor": self.factor} if known or self.factor != 1.0 else {}

    def load(self, state: Mapping[str, float]) -> None:
        """Go on from a checkpoint's state."""
        self._windows.load(state)
        self.factor = state.get("factor", 1.0)


@dataclass(eq=False)
class Arm:
    """One optimizer with the course of its rate.

    lr: None takes the job's; course: of its own, None for none; follows: whether the job's course counts as well.
    """

    optimizer: NamedOptimizer
    lr: float | None = None
    course: Over | None = None
    plateau: Plateau | None = None
    apart: bool = False
    follows: bool = True

    def rate(self, job_lr: float, job_course: float, step: int) -> float:
        """Return its learning rate at the job's ``step``."""
        base = job_lr if self.lr is None else self.lr
        part = (job_course if self.follows else 1.0) * (1.0 if self.course is None else self.course.at(step))
        return base * part * (1.0 if self.plateau is None else self.plateau.factor)


class Optimizers:
    """The optimizers of a job. ``add`` and ``remove`` parameters of an owner (``model``, or a task's key)."""

    def __init__(self, train: TrainSpec, device: torch.device) -> None:
        self._train, self._device = train, device
        self._over = over(train)
        self.plateau: Plateau | None = None
        if train.lr_schedule == "plateau":
            self.plateau = Plateau(series.TOTAL, part=train.lr_factor, patience=train.lr_patience_steps)
        self._own = [Arm(NamedOptimizer((), kind, device)) for kind in _kinds(method(train))]
        self._groups: dict[str, list[Arm]] = {}
        self.arms = list(self._own)

    # --- who is trained ------------------------------

    def add(
        self,
        owner: str,
        parameters: Iterable[tuple[str, nn.Parameter]],
        groups: Sequence[OptimizerGroup] = (),
    ) -> None:
        """Train these parameters too, from a state of their own. owner: a task's key, or '' for the model."""
        named = dict(parameters)
        free = dict(named)
        names = {id(parameter): name for name, parameter in named.items()}
        arms: list[Arm] = []
        for group in groups:
            chosen = {name: free.pop(name) for name in (names[id(one)] for one in group.members())}
            arms += self._made(owner, group, chosen)
        for arm, members in zip(self._own, _dealt(method(self._train), free), strict=True):
            arm.optimizer.add(members)
        if arms:
            self._groups[owner] = arms
            self.arms = [*self._own, *(arm for found in self._groups.values() for arm in found)]

    def _made(self, owner: str, group: OptimizerGroup, chosen: Mapping[str, nn.Parameter]) -> list[Arm]:
        kind = Method(
            group.optimizer,
            group.lr or self._train.lr,
            *group.betas,
            momentum=group.momentum,
            weight_decay=group.weight_decay,
        )
        course = None
        if group.schedule or group.warmup_steps:
            course = Over(
                group.schedule or "constant",
                self._train.steps,
                group.warmup_steps,
                group.every_steps,
                group.factor,
            )
        plateau = None
        if group.schedule == "plateau":
            watched = series.part(owner, group.loss) if group.loss else series.raw(owner)
            plateau = Plateau(
                watched if owner else series.TOTAL, part=group.factor, patience=group.patience_steps
            )
        dealt = zip(_kinds(kind), _dealt(kind, chosen), strict=True)
        return [
            Arm(
                NamedOptimizer(members, each, self._device),
                group.lr,
                course,
                plateau,
                apart=bool(group.loss),
                follows=not group.schedule,
            )
            for each, members in dealt
            if members
        ]

    def remove(self, owner: str, parameters: Iterable[nn.Parameter]) -> None:
        """Forget these parameters and their state, with the owner's groups."""
        gone = list(parameters)
        for arm in self._own:
            arm.optimizer.remove(gone)
        if self._groups.pop(owner, None) is not None:
            self.arms = [*self._own, *(arm for found in self._groups.values() for arm in found)]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All parameters, in the order in which they came."""
        if len(self.arms) == 1:
            return self.arms[0].optimizer.parameters
        return [parameter for arm in self.arms for parameter in arm.optimizer.parameters]

    @property
    def inner(self) -> list[torch.optim.Optimizer]:
        """The optimizers of torch that have something to do in this step."""
        if len(self.arms) == 1:
            return [self.arms[0].optimizer.inner]
        return [arm.optimizer.inner for arm in self.arms if arm.optimizer.moves]

    # --- a step ------------------------------

    def lr(self, base: float, step: int) -> float:
        """Return the job's learning rate at ``step`` (0-based); ``base`` is the highest."""
        return base * self._part(step)

    def _part(self, step: int) -> float:
        return self._over.at(step) * (1.0 if self.plateau is None else self.plateau.factor)

    def set_lr(self, base: float, step: int) -> float:
        """Have all step with the rates of ``step`` from now on; return the job's own."""
        part = self._part(step)
        lr = base * part
        for arm in self._own:
            arm.optimizer.set_lr(lr)
        if self._groups:
            for arm in self.arms[len(self._own) :]:
                arm.optimizer.set_lr(arm.rate(base, part, step))
        return lr

    def zero_grad(self) -> None:
        for arm in self.arms:
            arm.optimizer.inner.zero_grad(set_to_none=True)

    def step(self) -> None:
        for inner in self.inner:
            inner.step()

    def grad_norm(self) -> Tensor:
        """Return the length of the gradient of the total, over all parameters that have one, on their device."""
        return nn.utils.get_total_norm([one.grad for one in self._of_total() if one.grad is not None])

    def clip_grad_norm(self, most: float) -> Tensor:
        """Clip the gradient of the total, and beside it that of each group with a loss of its own; return its norm."""
        for arm in self.arms:
            if arm.apart:
                nn.utils.clip_grad_norm_(arm.optimizer.parameters, most)
        return nn.utils.clip_grad_norm_(self._of_total(), most)

    def _of_total(self) -> list[nn.Parameter]:
        if len(self.arms) == 1:
            return self.arms[0].optimizer.parameters
        return [one for arm in self.arms if not arm.apart for one in arm.optimizer.parameters]

    def skip_unless_finite(self, value: Tensor) -> Tensor:
        """Let the next step change nothing, not even the moments, unless the scalar ``value`` is finite.

        The gradients of groups with a loss of their own must be finite, too: returns the scalar that tells of all.
        """
        apart = [
            one.grad
            for arm in self.arms
            if arm.apart
            for one in arm.optimizer.parameters
            if one.grad is not None
        ]
        if apart:
            value = value + nn.utils.get_total_norm(apart)
        for arm in self.arms:
            arm.optimizer.skip_unless_finite(value)
        return value

    def skip_nothing(self) -> None:
        """Let every step count from now on, as if none had ever been left out."""
        for arm in self.arms:
            arm.optimizer.skip_nothing()

    # --- plateaus, checkpoints ------------------------------

    @property
    def plateaus(self) -> dict[str, Plateau]:
        """Plateaus by name: '' of the job, ``<owner>/<place>`` of a group."""
        found = {} if self.plateau is None else {"": self.plateau}
        for owner, arms in self._groups.items():
            own = {id(arm.plateau): arm.plateau for arm in arms if arm.plateau is not None}
            found |= {f"{owner}/{place}": each for place, each in enumerate(own.values())}
        return found

    def state(self) -> dict[str, Tensor]:
        """Return the state as ``<parameter>/<slot>`` -> tensor (not copied)."""
        found: dict[str, Tensor] = {}
        for arm in self.arms:
            found |= arm.optimizer.state()
        return found

    def load(self, state: Mapping[str, Tensor], *, own: bool = True) -> None:
        """Take over what ``state`` has for parameters of the same name and shape; ``own``: also of the job's own."""
        for arm in self.arms if own else self.arms[len(self._own) :]:
            arm.optimizer.load(state)


def _kinds(kind: Method) -> list[Method]:
    """Return the optimizers that one choice is made of."""
    return [kind, kind._replace(optimizer="adamw")] if kind.optimizer == "muon" else [kind]


def _dealt(kind: Method, named: Mapping[str, nn.Parameter]) -> list[list[tuple[str, nn.Parameter]]]:
    """Deal parameters to the optimizers of ``_kinds``: matrices to Muon, the rest to AdamW."""
    if kind.optimizer != "muon":
        return [list(named.items())]
    flat = [(name, one) for name, one in named.items() if one.dim() == 2]
    return [flat, [(name, one) for name, one in named.items() if one.dim() != 2]]


def groups_of(owner: str, given: object, named: Mapping[str, nn.Parameter]) -> tuple[OptimizerGroup, ...]:
    """Return the groups that ``optimizers()`` gave; raises TaskError (task_class) for one that does not fit.

    owner: a task's key, or '' for the model; named: all of its parameters.
    """
    who = f"task '{owner}'" if owner else "the model"
    if isinstance(given, OptimizerGroup) or not isinstance(given, Iterable):
        raise TaskError(
            f"optimizers() of {who} returned {given!r:.100}; it must return a list", field="task_class"
        )
    free = {id(parameter) for parameter in named.values()}
    groups = tuple(given)
    for place, group in enumerate(groups):
        wrong = _wrong_with(group, owner, free)
        if wrong:
            raise TaskError(
                f"optimizers() of {who} returned as number {place + 1} {wrong}", field="task_class"
            )
    return groups


def _wrong_with(group: object, owner: str, free: set[int]) -> str:
    """Return, in words, what is wrong with a group, or ''; what it holds is no longer ``free``."""
    if not isinstance(group, OptimizerGroup):
        return f"a {type(group).__name__}; it must return a list of OptimizerGroup"
    wrong = group.wrong()
    if wrong:
        return f"a group that will not do: {wrong}"
    if group.loss and not owner:
        return f"a group that learns from {group.loss!r}; only a task returns losses by name"
    members = group.members()
    if not members:
        return "a group without parameters; give it a module, or parameters"
    for one in members:
        if id(one) not in free:
            shape = tuple(getattr(one, "shape", ()))
            return (
                f"a group with a parameter of shape {shape} that is of something else, or in a group already; give "
                "each of its own parameters once"
            )
        free.remove(id(one))
    return ""

"""What a task knows of the step that it takes part in, and whether its loss asks for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from acc.errors import TaskError
from acc.places import written_at
from acc.rng import seed_for

if TYPE_CHECKING:
    from torch import Tensor

    from acc.models.base import Model

PARAMETER = "step"
LOSS_TAKES = {"compute_loss": ("output", "batch", "head"), "compute_joint_loss": ("own", "others", "head")}
"""What the two methods of a loss are given, before the step."""


@dataclass(frozen=True)
class JobFacts:
    """What the tasks of a job are told of it. training_rows: dataset key -> how many rows are trained on."""

    total: int
    seed: int
    global_step: Callable[[], int]
    training_rows: Callable[[str], int]

    @classmethod
    def of_none(cls) -> JobFacts:
        """Return what is told where no step is made."""
        return cls(0, 0, lambda: 0, lambda _key: 0)


@dataclass(eq=False)
class StepContext:
    """What a step knows, for a ``compute_loss`` with a fourth parameter ``step``.

    step: updates that the task took part in before this one (0 at its first), over all jobs of the line; the same
    that ``weight_scale`` is given. model: the one that is trained, for a loss that encodes or decodes once more.

    While a checkpoint is measured ``step`` is the age that it has there, and the generator is that of its key.
    """

    key: str
    dataset: str
    model: Model
    device: torch.device
    job: JobFacts
    step: int = 0
    _generator: torch.Generator | None = None

    @property
    def global_step(self) -> int:
        """Updates made before this one by the whole line of checkpoints."""
        return self.job.global_step()

    @property
    def total(self) -> int:
        """Steps of the job."""
        return self.job.total

    @property
    def training_rows(self) -> int:
        """Number of rows of the task's dataset that are trained on: those that are not held out."""
        return self.job.training_rows(self.dataset)

    @property
    def generator(self) -> torch.Generator:
        """Random generator on the device, seeded by the job's seed and the task's key; a resume goes on with it.

        Where several ranks share a batch each has one in the same state: a loss that draws numbers for each row
        says ``needs_whole_batch``, so that all ranks draw the same.
        """
        if self._generator is None:
            self._generator = torch.Generator(self.device)
            self._generator.manual_seed(seed_for(self.job.seed, "step", self.key))
        return self._generator

    def state(self) -> Tensor | None:
        """Return the generator's state; None as long as it was not asked for."""
        return None if self._generator is None else self._generator.get_state()

    def load(self, state: Tensor | None) -> None:
        """Take over a generator's state; one that was made on another kind of device begins anew."""
        self._generator = None
        if state is not None and state.shape == self.generator.get_state().shape:
            self.generator.set_state(state.cpu())
        elif state is not None:
            self._generator = None


def takes_step(method: Callable[..., object], given: tuple[str, ...]) -> bool:
    """Return whether ``method``, called with ``given``, takes the step after them.

    Raises TaskError (task_class) if it can be called neither way. A further parameter with a default and another name
    than ``step`` is the plugin's own.
    """
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # something callable that Python cannot look into
        return False
    without, with_step = _bound(signature, given), _bound(signature, (*given, PARAMETER))
    if without is None and with_step is None:
        name = getattr(method, "__name__", "compute_loss")
        right = ", ".join(given)
        raise TaskError(
            f"{name}{signature} cannot be called as {name}({right}), nor as {name}({right}, {PARAMETER}), which is "
            f"told of the step{written_at(method)}",
            field="task_class",
        )
    if with_step is None:
        return False
    name = list(with_step.arguments)[-1]
    return without is None or name == PARAMETER


def _bound(signature: inspect.Signature, values: tuple[str, ...]) -> inspect.BoundArguments | None:
    try:
        return signature.bind(*values)
    except TypeError:
        return None

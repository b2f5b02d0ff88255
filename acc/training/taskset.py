"""The tasks of a running job: attached, with heads and ages, changed only between two steps."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from acc.errors import CheckpointError, InvalidInput, TaskError
from acc.models import Model, ModelOutput
from acc.models.build import is_lazy
from acc.rng import seed_for, seeded
from acc.specs import KEY_PATTERN, TaskSpec, parse
from acc.training.batch import Batch, Stored
from acc.training.checkpoints.encoding import Encoded
from acc.training.checkpoints.extra_state import ExtraState, shared_with
from acc.training.checkpoints.files import Checkpoint
from acc.training.checkpoints.restore import load_head, load_model, load_state
from acc.training.context import LOSS_TAKES, JobFacts, StepContext, takes_step
from acc.training.failures import TaskFailed, check_part, failing, loss_method, what_is
from acc.training.losses import series
from acc.training.optimizers import OptimizerGroup, groups_of
from acc.training.plugin_set import PluginSet
from acc.training.protocols import Baseline
from acc.training.task import JointTask, Loss, Task, make_task

if TYPE_CHECKING:
    from acc.data import AccDataset


@dataclass(eq=False)
class Entry:
    """One attached task. ``age`` counts the updates it took part in, over all jobs of the line.

    extra: what the task keeps beside its head; head_extra: what its head keeps beside weights.
    added: whether it came while the job ran. parameters: of the modules beside its head, as they were attached.
    tried: whether a step of it was proven, by the proof at the start or when it was added or switched on.
    context: what a step knows; takes_step: whether its loss asks for it. part_names: of the losses that it returns by
    name, () if it returns one, None as long as it has returned none; parts: those of the last call. groups: what
    has an optimizer of its own; apart: the losses that such a group alone learns from, with its parameters.
    """

    spec: TaskSpec
    task: Task
    head: nn.Module | None
    extra: ExtraState
    head_extra: ExtraState | None
    parameters: dict[str, nn.Parameter]
    context: StepContext
    takes_step: bool
    groups: tuple[OptimizerGroup, ...] = ()
    part_names: tuple[str, ...] | None = None
    parts: tuple[Tensor, ...] = ()
    baseline: Baseline | None = None
    added: bool = False
    tried: bool = False

    @property
    def age(self) -> int:
        """Updates that it took part in."""
        return self.context.step

    @age.setter
    def age(self, updates: int) -> None:
        self.context.step = updates

    def loss(self, output: ModelOutput, batch: Batch) -> Tensor:
        """Return the task's loss on a batch of its own, where there is no other task."""
        return self.summed(self.task.compute_loss(output, batch, self.head, *self.step))

    @property
    def step(self) -> tuple[StepContext, ...]:
        """What is given to its loss beside the rest: the step, if it asks for it."""
        return (self.context,) if self.takes_step else ()

    def summed(self, given: Loss) -> Tensor:
        """Return the loss that a task gave: the very tensor, or the sum of its losses by name.

        Raises TaskFailed where these are no losses, or have other names than before.
        """
        if not isinstance(given, Mapping) and not self.part_names:
            return given  # whether it is a loss is looked at once, beside this
        names = tuple(given) if isinstance(given, Mapping) else ()
        if names != self.part_names:
            self._name_parts(given, names)
        assert isinstance(given, Mapping)
        parts = self.parts = tuple(given.values())
        summed = [(name, part) for name, part in zip(names, parts, strict=True) if name not in self.apart]
        total = summed[0][1] * self.part_weight(summed[0][0])
        for name, part in summed[1:]:
            total = total + part * self.part_weight(name)
        return total

    @cached_property
    def apart(self) -> dict[str, list[nn.Parameter]]:
        """The losses by name that are no part of the sum, each with the parameters that learn from it."""
        found: dict[str, list[nn.Parameter]] = {}
        for group in self.groups:
            if group.loss:
                found.setdefault(group.loss, []).extend(group.members())
        return found

    def losses_apart(self) -> Iterator[tuple[Tensor, list[nn.Parameter]]]:
        """Yield the last losses that are no part of the sum, each with the parameters that learn from it."""
        for name, part in zip(self.part_names or (), self.parts, strict=True):
            if name in self.apart:
                yield part, self.apart[name]

    def part_weight(self, name: str) -> float:
        """Return what one of the losses by name counts in their sum."""
        return float(self.spec.part_weights.get(name, self.task.part_weights.get(name, 1.0)))

    def _name_parts(self, given: object, names: tuple[str, ...]) -> None:
        """Take the names of the first losses that came by name; raises TaskFailed for others."""
        wrong = ""
        method = loss_method(self.spec, self.task)
        if not isinstance(given, Mapping):
            known = ", ".join(self.part_names or ()) or "one loss"
            wrong = f"{what_is(given)}, and before {known}; it must return the same in every step"
        elif self.part_names is not None:
            now, before = ", ".join(map(str, names)) or "nothing", ", ".join(self.part_names) or "one loss"
            wrong = f"the losses {now}, and before {before}; the names must be the same in every step, in their order"
        elif not names:
            wrong = "an empty dict; it must hold at least one loss"
        else:
            odd = [name for name in names if not (isinstance(name, str) and KEY_PATTERN.match(name))]
            if odd:
                wrong = f"a loss called {odd[0]!r}; use a-z, 0-9, - and _, at most 64, beginning with a letter or digit"
        unknown = sorted({*self.spec.part_weights, *self.task.part_weights}.difference(names))
        if not wrong and unknown:
            wrong = f"the losses {', '.join(names)}; '{unknown[0]}', for which there is a part weight, is none of them"
        lacking = sorted(self.apart.keys() - set(names))
        if not wrong and lacking:
            wrong = f"the losses {', '.join(names)}; '{lacking[0]}', from which a group of optimizers() learns, is none"
        if not wrong and not set(names) - self.apart.keys():
            wrong = f"the losses {', '.join(names)}, and groups of optimizers() take them all; leave one for the model"
        if wrong:
            raise TaskFailed(f"task '{self.spec.key}': {method} returned {wrong}", key=self.spec.key)
        assert isinstance(given, Mapping)
        for name, part in given.items():
            check_part(self.spec, self.task, name, part, self.context.device)
        self.part_names = names

    def part_series(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the series and the value of each of the last losses by name."""
        for name, part in zip(self.part_names or (), self.parts, strict=True):
            yield series.part(self.spec.key, name), part

    @property
    def name(self) -> str:
        """Name of what it keeps beside its head, in a checkpoint."""
        return f"task.{self.spec.key}"

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the parameters of its head and of its other modules under their names in the checkpoint."""
        if self.head is not None:
            for name, parameter in self.head.named_parameters():
                yield f"head.{self.spec.key}.{name}", parameter
        for name, parameter in self.parameters.items():
            yield f"{self.name}.{name}", parameter

    def state(self, tensors: dict[str, Tensor]) -> dict[str, dict[str, Encoded]]:
        """Return what is kept of it beside the head's weights; tensors go into ``tensors``."""
        found = {self.name: self.extra.state(f"state.{self.name}", tensors)}
        if self.head_extra is not None:
            name = f"head.{self.spec.key}"
            found[name] = self.head_extra.state(f"state.{name}", tensors)
        generator = self.context.state()
        if generator is not None:
            tensors[f"generator.{self.spec.key}"] = generator
        return {name: state for name, state in found.items() if state}

    def load(self, origin: Checkpoint, device: torch.device, *, random: bool = True) -> str:
        """Take over all that a checkpoint has of the task; return '' or, in words, what does not fit.

        random: also the state of the step's generator; a job of another seed begins with one of its own.
        """
        key = self.spec.key
        if self.head is not None and not load_head(self.head, origin.part(f"head.{key}")):
            return f"the checkpoint's head of task '{key}' does not fit the task's class as it is now"
        try:
            if self.head_extra is not None:
                load_state(self.head_extra, f"head.{key}", origin, device)
            load_state(self.extra, self.name, origin, device)
        except CheckpointError as error:
            return (
                f"the checkpoint's state of task '{key}' does not fit the task's class as it is now: {error}"
            )
        self.context.load(origin.tensors.get(f"generator.{key}") if random else None)
        return ""

    def eval(self) -> None:
        """Put the task, its head and its other modules into eval mode."""
        self.task.training = False
        for module in (self.head, *self.extra.modules()):
            if module is not None:
                module.eval()


class TaskSet:
    """The tasks of a job in order, and the datasets that they read."""

    def __init__(
        self,
        plugins: PluginSet,
        model: Model,
        datasets: Mapping[str, AccDataset],
        device: torch.device,
        *,
        job: JobFacts | None = None,
    ) -> None:
        """``job``: what tasks are told of the job that they are part of."""
        self.job = job or JobFacts.of_none()
        self._plugins, self._model, self._datasets, self.device = plugins, model, datasets, device
        self.entries: dict[str, Entry] = {}

    @property
    def enabled(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.spec.enabled and entry.task.trains]

    @property
    def specs(self) -> tuple[TaskSpec, ...]:
        return tuple(entry.spec for entry in self.entries.values())

    def attach(self, spec: TaskSpec) -> Entry:
        """Attach a task with a fresh head; raises InvalidInput and changes nothing if it does not fit."""
        if spec.key in self.entries:
            raise InvalidInput({"key": f"{spec.key!r} is taken by another task of this job"})
        dataset = self.dataset(spec.dataset)
        with seeded(seed_for(self._model.spec.seed, "task", spec.key)):  # also what it makes beside its head
            task = make_task(spec, self._plugins.task, dataset, self._model)
        joint = isinstance(task, JointTask)
        method = "compute_joint_loss" if joint else "compute_loss"
        takes = task.trains and takes_step(getattr(task, method), LOSS_TAKES[method])
        if joint and takes_step(task.compute_loss, LOSS_TAKES["compute_loss"]) < takes:
            raise TaskError(
                f"{spec.task_class}.compute_joint_loss takes the step, so compute_loss must take it too; leave out "
                "compute_loss, or write it as (output, batch, head, step)",
                field="task_class",
            )
        context = StepContext(spec.key, spec.dataset, self._model, self.device, self.job)
        start, end = task.latent_range
        # The same key on the same model gives the same head, whatever was attached before.
        with seeded(seed_for(self._model.spec.seed, "head", spec.key)):
            head = task.build_head(end - start, dataset)
            if head is not None:
                head.to(self.device).train()
                if is_lazy(head):
                    self._give_shapes(spec, task, head, (context,) if takes else ())
                    context = dataclasses.replace(context, _generator=None)
        entry = self._entry(spec, task, head, context, takes_step=takes)
        if task.trains:
            entry.groups = groups_of(spec.key, task.optimizers(head), dict(entry.named_parameters()))
        self.entries[spec.key] = entry
        return entry

    def _entry(
        self, spec: TaskSpec, task: Task, head: nn.Module | None, context: StepContext, *, takes_step: bool
    ) -> Entry:
        data = self.dataset(spec.dataset)
        held = (data.images, *data.targets.values(), data.units, data.split)
        arrays = [each for each in held if each is not None]
        shared = shared_with(self._model, data, spec, *arrays)
        if head is not None:
            shared += shared_with(head)
        for module in ExtraState(task, shared).modules():
            module.to(self.device).train()
        extra = ExtraState(task, shared)
        head_extra = None if head is None else ExtraState(head)
        return Entry(spec, task, head, extra, head_extra, dict(extra.parameters()), context, takes_step)

    def _give_shapes(
        self, spec: TaskSpec, task: Task, head: nn.Module, step: tuple[StepContext, ...]
    ) -> None:
        """Run two images through a copy of the task, so that the head's lazy layers learn their shapes."""
        shared = shared_with(self._model, self._model, self.dataset(spec.dataset), head, *head.modules())
        trial = copy.deepcopy(task, {id(one): one for one in shared})
        was_training = self._model.training
        self._model.eval()
        try:
            with failing(spec, task), torch.no_grad():
                batch = Stored(self.dataset(spec.dataset), self.device).batch(np.arange(2))
                trial.compute_loss(self._model.encode(batch.images), batch, head, *step)
        except TaskFailed as error:
            raise InvalidInput(
                task_class=f"{error}, when two images were to tell the lazy layers of its head their shapes"
            ) from error
        finally:
            self._model.train(was_training)
        if is_lazy(head):
            raise InvalidInput(
                task_class=f"the head of {spec.task_class} has lazy layers that compute_loss did not reach; "
                "give these layers their shapes"
            )

    def awaken(self, key: str, origin: Checkpoint) -> None:
        """Let a task make what it makes in its first step, if the checkpoint has a state for such a thing.

        The model is afterwards as the checkpoint has it; head and state are to be loaded.
        """
        entry = self.entries[key]
        if not entry.extra.lacks(origin.header.state.get(entry.name, {})):
            return
        dataset = self.dataset(entry.spec.dataset)
        rows = np.arange(min(len(dataset), origin.header.spec.train.batch_size))
        batch = Stored(dataset, self.device).batch(rows)
        with failing(entry.spec, entry.task), torch.enable_grad():
            entry.loss(self._model.encode(batch.images), batch)
        load_model(self._model, origin)

    def detach(self, key: str) -> Entry:
        """Take a task away and return it; raises InvalidInput (task) for an unknown key."""
        self.get(key)
        return self.entries.pop(key)

    def get(self, key: Any) -> Entry:
        """Return the task called ``key``; raises InvalidInput (task) naming those that are there."""
        entry = self.entries.get(key) if isinstance(key, str) else None
        if entry is None:
            known = ", ".join(self.entries) or "none"
            raise InvalidInput({"task": f"{key!r} is not a task of this job; it has: {known}"})
        return entry

    def change(self, key: str, **fields: Any) -> None:
        """Replace fields of a task's spec, validated; raises InvalidInput."""
        entry = self.get(key)
        entry.spec = parse(TaskSpec, {**entry.spec.model_dump(), **fields})

    def dataset(self, key: str) -> AccDataset:
        """Return the dataset called ``key``; raises InvalidInput (dataset) naming those that are loaded."""
        if key not in self._datasets:
            known = ", ".join(sorted(self._datasets)) or "none"
            raise InvalidInput({"dataset": f"{key!r} is not loaded in this job; it has: {known}"})
        return self._datasets[key]

    def head_tensors(self) -> dict[str, Tensor]:
        """Return parameters and buffers of all heads by their names in the checkpoint (not copied)."""
        return {
            f"head.{key}.{name}": tensor
            for key, entry in self.entries.items()
            if entry.head is not None
            for name, tensor in entry.head.state_dict().items()
        }

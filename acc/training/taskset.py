"""The tasks of a running job: attached, with heads and ages, changed only between two steps."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from acc.errors import CheckpointError, InvalidInput
from acc.models import Model
from acc.models.build import is_lazy
from acc.rng import seed_for, seeded
from acc.specs import TaskSpec, parse
from acc.training.batch import Stored
from acc.training.checkpoints.encoding import Encoded
from acc.training.checkpoints.extra_state import ExtraState, shared_with
from acc.training.checkpoints.files import Checkpoint
from acc.training.checkpoints.restore import load_head, load_state
from acc.training.failures import TaskFailed, failing
from acc.training.plugin_set import PluginSet
from acc.training.protocols import Baseline
from acc.training.task import Task, make_task

if TYPE_CHECKING:
    from acc.data import AccDataset


@dataclass
class Entry:
    """One attached task. ``age`` counts the updates it took part in, over all jobs of the line.

    extra: what the task keeps beside its head; head_extra: what its head keeps beside weights.
    added: whether it came while the job ran. parameters: of the modules beside its head, as they were attached.
    tried: whether a step of it was proven, by the proof at the start or when it was added or switched on.
    """

    spec: TaskSpec
    task: Task
    head: nn.Module | None
    extra: ExtraState
    head_extra: ExtraState | None
    parameters: dict[str, nn.Parameter]
    age: int = 0
    baseline: Baseline | None = None
    added: bool = False
    tried: bool = False

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
        return {name: state for name, state in found.items() if state}

    def load(self, origin: Checkpoint, device: torch.device) -> str:
        """Take over all that a checkpoint has of the task; return '' or, in words, what does not fit."""
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
    ) -> None:
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
        start, end = task.latent_range
        # The same key on the same model gives the same head, whatever was attached before.
        with seeded(seed_for(self._model.spec.seed, "head", spec.key)):
            head = task.build_head(end - start, dataset)
            if head is not None:
                head.to(self.device).train()
                if is_lazy(head):
                    self._give_shapes(spec, task, head)
        entry = self.entries[spec.key] = self._entry(spec, task, head)
        return entry

    def _entry(self, spec: TaskSpec, task: Task, head: nn.Module | None) -> Entry:
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
        return Entry(spec, task, head, extra, head_extra, dict(extra.parameters()))

    def _give_shapes(self, spec: TaskSpec, task: Task, head: nn.Module) -> None:
        """Run two images through a copy of the task, so that the head's lazy layers learn their shapes."""
        shared = shared_with(self._model, self._model, self.dataset(spec.dataset), head, *head.modules())
        trial = copy.deepcopy(task, {id(one): one for one in shared})
        was_training = self._model.training
        self._model.eval()
        try:
            with failing(spec, task), torch.no_grad():
                batch = Stored(self.dataset(spec.dataset), self.device).batch(np.arange(2))
                trial.compute_loss(self._model.encode(batch.images), batch, head)
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

        What the pass changes beside that is to be loaded afterwards: model, head and state.
        """
        entry = self.entries[key]
        if not entry.extra.lacks(origin.header.state.get(entry.name, {})):
            return
        dataset = self.dataset(entry.spec.dataset)
        rows = np.arange(min(len(dataset), origin.header.spec.train.batch_size))
        batch = Stored(dataset, self.device).batch(rows)
        with failing(entry.spec, entry.task), torch.enable_grad():
            entry.task.compute_loss(self._model.encode(batch.images), batch, entry.head)

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

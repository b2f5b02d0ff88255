"""The tasks of a running job: attached, with heads and ages, changed only between two steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from acc.errors import InvalidInput
from acc.models import Model
from acc.rng import seed_for, seeded
from acc.specs import TaskSpec, parse
from acc.training.data import Resident
from acc.training.plugin_set import PluginSet
from acc.training.protocols import Baseline
from acc.training.task import Task, make_task

if TYPE_CHECKING:
    from acc.data import AccDataset


@dataclass
class Entry:
    """One attached task. ``age`` counts the updates it took part in, over all jobs of the line."""

    spec: TaskSpec
    task: Task
    head: nn.Module | None
    age: int = 0
    baseline: Baseline | None = None

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the head's parameters under their names in the checkpoint."""
        if self.head is not None:
            for name, parameter in self.head.named_parameters():
                yield f"head.{self.spec.key}.{name}", parameter


class TaskSet:
    """The tasks of a job in order, and the datasets that they read."""

    def __init__(
        self, plugins: PluginSet, model: Model, datasets: Mapping[str, AccDataset], device: torch.device
    ) -> None:
        self._plugins, self._model, self._datasets, self._device = plugins, model, datasets, device
        self._residents: dict[str, Resident] = {}
        self.entries: dict[str, Entry] = {}

    @property
    def enabled(self) -> list[Entry]:
        """Tasks that train, in order."""
        return [entry for entry in self.entries.values() if entry.spec.enabled and entry.task.trains]

    @property
    def specs(self) -> tuple[TaskSpec, ...]:
        """The specs as they stand."""
        return tuple(entry.spec for entry in self.entries.values())

    def attach(self, spec: TaskSpec) -> Entry:
        """Attach a task with a fresh head; raises InvalidInput and changes nothing if it does not fit."""
        if spec.key in self.entries:
            raise InvalidInput({"key": f"{spec.key!r} is taken by another task of this job"})
        dataset = self.dataset(spec.dataset)
        task = make_task(spec, self._plugins.task, dataset, self._model)
        start, end = task.latent_range
        # The same key on the same model gives the same head, whatever was attached before.
        with seeded(seed_for(self._model.spec.seed, "head", spec.key)):
            head = task.build_head(end - start, dataset)
        if head is not None:
            head.to(self._device).train()
        entry = self.entries[spec.key] = Entry(spec, task, head)
        return entry

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

    def resident(self, key: str) -> Resident:
        """Return the dataset as tensors on the device, moved there at its first use."""
        if key not in self._residents:
            self._residents[key] = Resident(self.dataset(key), self._device)
        return self._residents[key]

    def head_tensors(self) -> dict[str, Tensor]:
        """Return parameters and buffers of all heads by their names in the checkpoint (not copied)."""
        return {
            f"head.{key}.{name}": tensor
            for key, entry in self.entries.items()
            if entry.head is not None
            for name, tensor in entry.head.state_dict().items()
        }

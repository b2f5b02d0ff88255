"""Builders for the engine's tests: images whose class and size can be seen, specs, recording sinks."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acc.data import AccDataset
from acc.models import Model
from acc.plugins import PluginClass, PluginRegistry
from acc.specs import ImageShape, ModelSpec, TargetSpec, TaskSpec, TrainJobSpec, TrainSpec
from acc.training.checkpoints.files import Snapshot
from acc.training.plugin_set import PluginSet
from acc.training.protocols import Command
from acc.training.run import MemorySink
from acc.training.trainer import Trainer

PLUGINS_DIR = Path(__file__).parents[2] / "plugins"
NOTEBOOK_PAGE = Path(__file__).parents[2] / "docs" / "notebook.md"
GROUPS = (("digit", 0, 3), ("size", 3, 5), ("free", 5, 8))
CHANNELS = {"channels": 8}


def blobs(n: int, *, seed: int = 0, side: int = 16, channels: int = 1) -> AccDataset:
    """Return round blobs: ``digit`` is the quadrant (4 classes), ``size`` the radius in pixels."""
    generator = np.random.default_rng(seed)
    digit = generator.integers(0, 4, n)
    size = generator.uniform(side / 10, side / 5, n).astype(np.float32)
    y, x = np.mgrid[:side, :side]
    centre_y, centre_x = (digit // 2 * 2 + 1) * side / 4, (digit % 2 * 2 + 1) * side / 4
    distance = np.hypot(y - centre_y[:, None, None], x - centre_x[:, None, None])
    image = np.clip(size[:, None, None] - distance + 0.5, 0, 1) * 255
    images = np.repeat(image[:, None], channels, axis=1).round().astype(np.uint8)
    return AccDataset(
        images=images,
        targets={"digit": digit.astype(np.int64), "size": size},
        target_specs=(
            TargetSpec(name="digit", kind="class", classes=4),
            TargetSpec(name="size", kind="real", unit="px"),
        ),
    )


@functools.cache
def shipped_classes() -> tuple[PluginClass, ...]:
    """Return the tasks in plugins/tasks as the registry loads them."""
    registry = PluginRegistry(PLUGINS_DIR)
    registry.scan()
    return tuple(registry.classes("task").values())


def shipped_tasks() -> PluginSet:
    """Return a set of the shipped tasks of its own."""
    return PluginSet(*shipped_classes())


def model_spec(architecture: str = "FactorSlotAutoencoder", *, side: int = 16, **fields: Any) -> ModelSpec:
    """Return a small model with the groups digit 0:3, size 3:5 and free 5:8."""
    params = fields.pop("params", {})
    small = (
        {"grid": 4, **CHANNELS}
        if architecture == "FactorSlotAutoencoder"
        else {"base_channels": 4, "depth": 2}
    )
    return ModelSpec(
        architecture=architecture,
        image=fields.pop("image", ImageShape(channels=1, height=side, width=side)),
        latent_dim=fields.pop("latent_dim", 8),
        factor_groups=fields.pop(
            "factor_groups", tuple({"name": name, "start": start, "end": end} for name, start, end in GROUPS)
        ),
        params={**small, **params},
        **fields,
    )


def task(task_class: str, **fields: Any) -> TaskSpec:
    """Return a task on the dataset ``data``; ``task("classification", factor="digit")``."""
    names = {
        "reconstruction": "ReconstructionTask",
        "kl": "KLDivergenceTask",
        "classification": "ClassificationTask",
        "regression": "RegressionTask",
    }
    return TaskSpec(
        **{
            "key": task_class.lower(),
            "name": task_class,
            "task_class": names.get(task_class, task_class),
            "dataset": "data",
            **fields,
        }
    )


def all_tasks(dataset: str = "data") -> tuple[TaskSpec, ...]:
    """Return the four shipped tasks with sensible weights."""
    return (
        task("reconstruction", weight=10.0, dataset=dataset),
        task("kl", weight=0.01, dataset=dataset),
        task("classification", factor="digit", dataset=dataset),
        task("regression", factor="size", dataset=dataset),
    )


def job(
    datasets: Mapping[str, AccDataset],
    tasks: Sequence[TaskSpec] | None = None,
    *,
    model: ModelSpec | None = None,
    **train: Any,
) -> TrainJobSpec:
    """Return a train job of a few steps on the CPU."""
    fields: dict[str, Any] = {"steps": 8, "batch_size": 16, "device": "cpu", "threads": 1, **train}
    return TrainJobSpec(
        model=model or model_spec(),
        tasks=tuple(all_tasks() if tasks is None else tasks),
        datasets={key: dataset.spec(key) for key, dataset in datasets.items()},
        train=TrainSpec(**fields),
    )


class KeepingSink(MemorySink):
    """Keeps every checkpoint, not only the newest."""

    def on_checkpoint(self, snapshot: Any, reason: Any) -> None:
        self.checkpoints.append((snapshot, reason))

    @property
    def last(self) -> Snapshot:
        """The newest checkpoint."""
        snapshot, _ = self.checkpoints[-1]
        assert isinstance(snapshot, Snapshot)
        return snapshot

    def at(self, step: int) -> Any:
        """Return the checkpoint after ``step`` updates."""
        return next(snapshot for snapshot, _ in self.checkpoints if snapshot.step == step)


class Script:
    """A control that gives each command once, before its step; those in ``pushed`` at the next look."""

    def __init__(self, commands: Mapping[int, Sequence[tuple[str, dict[str, Any]]]]) -> None:
        self.commands = {step: list(found) for step, found in commands.items()}
        self.waits = 0
        self.on_wait: Callable[[Script], None] | None = None
        self.pushed: list[tuple[str, dict[str, Any]]] = []
        self._next = 1

    def due(self, step: int) -> list[Command]:
        found = [*self.commands.pop(step, []), *self.pushed]
        self.pushed = []
        commands = []
        for kind, payload in found:
            commands.append(Command(id=self._next, kind=kind, payload=payload))  # type: ignore[arg-type]
            self._next += 1
        return commands

    def wait(self, seconds: float) -> None:
        self.waits += 1
        if self.on_wait is not None:
            self.on_wait(self)


def run(
    spec: TrainJobSpec, datasets: Mapping[str, AccDataset], classes: PluginSet | None = None, **options: Any
) -> tuple[Trainer, KeepingSink]:
    """Train to the end and return trainer and sink; ``trainer.result`` is left to the sink's caller."""
    sink = options.pop("sink", None) or KeepingSink()
    trainer = Trainer(spec, datasets, classes=classes or shipped_tasks(), sink=sink, **options)
    trainer.run()
    return trainer, sink


def weights(model: Model) -> dict[str, np.ndarray[Any, Any]]:
    """Return copies of all weights as arrays."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in model.state_dict().items()}


def blocks(page: Path) -> list[str]:
    """Return the Python blocks of a Markdown page, in order."""
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)

"""Measure a checkpoint: the metrics of its tasks on held-out rows, and what it makes of a few images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acc import rng
from acc.errors import InvalidInput
from acc.models import Model, build
from acc.specs import EvalSpec, TaskSpec
from acc.training.checkpoint import Checkpoint, load
from acc.training.data import Indices, Resident, fixed_examples, split_indices
from acc.training.devices import DeviceManager
from acc.training.plugin_set import PluginSet
from acc.training.restore import load_head, load_model
from acc.training.taskset import Entry, TaskSet

if TYPE_CHECKING:
    from acc.data import AccDataset

BATCH_SIZE = 256
NO_HELD_OUT = "no rows are held out (val_fraction is 0), and training rows would flatter the model"


@dataclass(frozen=True)
class MetricValue:
    """One measured number, or the reason why there is none.

    baseline: the same metric of the best predictor that looks at no image, where that is known.
    """

    task_key: str
    name: str
    value: float | None
    higher_is_better: bool
    reason: str = ""
    baseline: float | None = None


@dataclass(frozen=True)
class ReconstructionGrid:
    """Fixed images of a dataset beside what the model makes of them.

    indices: row numbers in the dataset; inputs, outputs: uint8 ``(N, C, H, W)``.
    """

    dataset_key: str
    indices: tuple[int, ...]
    inputs: NDArray[np.uint8]
    outputs: NDArray[np.uint8]


@dataclass(frozen=True)
class EvalResult:
    """What was measured of a checkpoint. step: its global step."""

    step: int
    metrics: list[MetricValue] = field(default_factory=list)
    reconstructions: list[ReconstructionGrid] = field(default_factory=list)


def evaluate_checkpoint(
    path: str | Path | Checkpoint,
    datasets: Mapping[str, AccDataset],
    classes: PluginSet,
    spec: EvalSpec | None = None,
    *,
    device: str | None = None,
) -> EvalResult:
    """Return metrics and reconstructions of a checkpoint, from its posterior means in eval mode.

    ``datasets`` by the keys that the checkpoint's tasks use. Metrics are of the rows that every job of the
    experiment held out; the images shown are the same for every checkpoint. The head does not move, and the
    caller's random state is kept. Raises CheckpointError, InvalidInput.
    """
    spec = spec or EvalSpec()
    checkpoint = path if isinstance(path, Checkpoint) else load(path)
    chosen = torch.device(DeviceManager().resolve(device or spec.device))
    job = checkpoint.header.spec
    model = build(job.model, classes.models)
    load_model(model, checkpoint)
    model.to(chosen).eval()
    tasks = TaskSet(classes, model, datasets, chosen)
    for task in job.tasks:
        _attach(tasks, task, checkpoint)
    by_dataset: dict[str, list[Entry]] = {}
    for entry in tasks.entries.values():
        by_dataset.setdefault(entry.spec.dataset, []).append(entry)
    result = EvalResult(step=checkpoint.header.global_step)
    with rng.preserved(), torch.inference_mode():
        for key, entries in by_dataset.items():
            dataset, resident = tasks.dataset(key), tasks.resident(key)
            train, held_out = split_indices(dataset, seed=job.model.seed, val_fraction=job.train.val_fraction)
            if "metrics" in spec.suite:
                result.metrics.extend(_measure(model, resident, entries, train, held_out))
            if "reconstructions" in spec.suite:
                rows = fixed_examples(
                    dataset, held_out if len(held_out) else train, count=spec.images, seed=spec.seed
                )
                result.reconstructions.append(_reconstruct(model, resident, key, rows))
    order = {task.key: place for place, task in enumerate(job.tasks)}
    result.metrics.sort(key=lambda metric: order[metric.task_key])
    return result


def _attach(tasks: TaskSet, spec: TaskSpec, checkpoint: Checkpoint) -> None:
    entry = tasks.attach(spec)
    if entry.head is not None:
        if not load_head(entry.head, checkpoint.part(f"head.{spec.key}")):
            raise InvalidInput(
                {
                    "task_class": f"the head of task '{spec.key}' in the checkpoint does not fit "
                    f"{spec.task_class} as it is now"
                }
            )
        entry.head.eval()


def _measure(
    model: Model, resident: Resident, entries: list[Entry], train: Indices, held_out: Indices
) -> Iterator[MetricValue]:
    """Yield the metrics of all tasks on one dataset, from one encoding pass over its held-out rows."""
    if not len(held_out):
        for entry in entries:
            for name, higher in {"loss": False, **entry.task.metrics}.items():
                yield MetricValue(entry.spec.key, name, None, higher, NO_HELD_OUT)
        return
    sums: list[dict[str, Tensor]] = [{} for _ in entries]
    for rows in np.array_split(held_out, -(-len(held_out) // BATCH_SIZE)):
        batch = resident.batch(torch.from_numpy(rows).to(resident.device))
        output = model.encode(batch.images)
        for entry, total in zip(entries, sums, strict=True):
            found = {
                **entry.task.evaluate(output, batch, entry.head),
                "_loss": entry.task.compute_loss(output, batch, entry.head).double() * len(batch),
            }
            for name, value in found.items():
                term = torch.as_tensor(value, device=resident.device)
                total[name] = total[name] + term if name in total else term
    train_batch = resident.batch(torch.from_numpy(train).to(resident.device))
    held_out_batch = resident.batch(torch.from_numpy(held_out).to(resident.device))
    for entry, total in zip(entries, sums, strict=True):
        loss = float(total.pop("_loss")) / len(held_out)
        values: dict[str, float | str] = {"loss": loss, **(entry.task.summarise(total) if total else {})}
        baseline = entry.task.baseline(train_batch, held_out_batch)
        for name, measured in values.items():
            yield _metric(entry, name, measured, baseline.get(name))


def _metric(entry: Entry, name: str, measured: float | str, baseline: float | str | None) -> MetricValue:
    value, reason = (None, measured) if isinstance(measured, str) else (measured, "")
    if value is not None and not np.isfinite(value):
        value, reason = None, f"came out as {value}, which is no finite number"
    return MetricValue(
        task_key=entry.spec.key,
        name=name,
        value=value,
        higher_is_better=entry.task.metrics.get(name, False),
        reason=reason,
        baseline=baseline if isinstance(baseline, float) and np.isfinite(baseline) else None,
    )


def _reconstruct(model: Model, resident: Resident, key: str, rows: Indices) -> ReconstructionGrid:
    index = torch.from_numpy(rows).to(resident.device)
    drawn = model.encode(resident.batch(index).images).reconstruction
    return ReconstructionGrid(
        dataset_key=key,
        indices=tuple(rows.tolist()),
        inputs=resident.images.index_select(0, index).cpu().numpy(),
        outputs=drawn.clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy(),
    )

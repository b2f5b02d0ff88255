"""The metrics of a checkpoint's tasks on the rows that its experiment held out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from acc.errors import InvalidInput
from acc.evaluation.encoding import BATCH_SIZE
from acc.evaluation.results import MetricValue
from acc.models import Model
from acc.specs import TaskSpec
from acc.training.checkpoint import Checkpoint
from acc.training.data import Indices, Resident
from acc.training.restore import load_head
from acc.training.taskset import Entry, TaskSet

NO_HELD_OUT = "no rows are held out (val_fraction is 0), and training rows would flatter the model"


def attach(tasks: TaskSet, spec: TaskSpec, checkpoint: Checkpoint) -> Entry:
    """Return the attached task with the head that the checkpoint has; raises InvalidInput."""
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
    return entry


def measure(
    model: Model, resident: Resident, entries: list[Entry], train: Indices, held_out: Indices
) -> tuple[list[MetricValue], Tensor | None]:
    """Return the metrics of all tasks on one dataset, and the latents (N, D) of the one pass over its rows."""
    if not len(held_out):
        return [
            _metric(entry, name, NO_HELD_OUT, None)
            for entry in entries
            for name in ("loss", *entry.task.metrics)
        ], None
    sums: list[dict[str, Tensor]] = [{} for _ in entries]
    latents: list[Tensor] = []
    for rows in np.array_split(held_out, -(-len(held_out) // BATCH_SIZE)):
        batch = resident.batch(torch.from_numpy(rows).to(resident.device))
        output = model.encode(batch.images)
        latents.append(output.posterior_mean.float())
        for entry, total in zip(entries, sums, strict=True):
            found = {
                **entry.task.evaluate(output, batch, entry.head),
                "_loss": entry.task.compute_loss(output, batch, entry.head).double() * len(batch),
            }
            for name, value in found.items():
                term = torch.as_tensor(value, device=resident.device)
                total[name] = total[name] + term if name in total else term
    return list(_summarised(resident, entries, sums, train, held_out)), torch.cat(latents)


def _summarised(
    resident: Resident, entries: list[Entry], sums: list[dict[str, Tensor]], train: Indices, held_out: Indices
) -> Iterator[MetricValue]:
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
        thresholds=entry.task.threshold(name),
    )

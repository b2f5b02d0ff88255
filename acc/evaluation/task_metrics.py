"""The metrics of a checkpoint's tasks on the rows that its experiment held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
from acc.training.task import JointTask, Sight, Sums
from acc.training.taskset import Entry, TaskSet

NO_HELD_OUT = "no rows are held out (val_fraction is 0), and training rows would flatter the model"
_LOSS, _ROWS = "_loss", "_rows"


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


class TaskMetrics:
    """Adds up what tasks say of batches, one dataset after another; a joint task hears of all datasets."""

    def __init__(self, model: Model, joint: Sequence[Entry] = ()) -> None:
        self._model, self._joint = model, joint
        self._joint_sums: list[dict[str, Tensor]] = [{} for _ in joint]

    def measure(
        self, resident: Resident, entries: list[Entry], train: Indices, held_out: Indices
    ) -> tuple[list[MetricValue], Tensor | None]:
        """Return the metrics of the tasks on one dataset, and the latents (N, D) of the one pass over its rows.

        Those of joint tasks come from ``joint`` in the end.
        """
        entries = [entry for entry in entries if not isinstance(entry.task, JointTask)]
        if not len(held_out):
            return [metric for entry in entries for metric in without(entry, NO_HELD_OUT)], None
        sums: list[dict[str, Tensor]] = [{} for _ in entries]
        latents: list[Tensor] = []
        for rows in np.array_split(held_out, -(-len(held_out) // BATCH_SIZE)):
            batch = resident.batch(torch.from_numpy(rows).to(resident.device))
            output = self._model.encode(batch.images)
            latents.append(output.posterior_mean.float())
            for entry, total in zip(entries, sums, strict=True):
                found = entry.task.evaluate(output, batch, entry.head)
                if entry.task.trains:
                    loss = entry.task.compute_loss(output, batch, entry.head)
                    found = {**found, _LOSS: loss.double() * len(batch)}
                _add(total, found, resident.device)
            others = [Sight(entry.task, output, batch) for entry in entries if entry.task.trains]
            for entry, total in zip(self._joint, self._joint_sums, strict=True):
                assert isinstance(entry.task, JointTask)
                own = Sight(entry.task, output, batch)
                loss = entry.task.compute_joint_loss(own, others, entry.head).double() * len(batch)
                found = {**entry.task.evaluate_joint(own, others), _LOSS: loss, _ROWS: len(batch)}
                _add(total, found, resident.device)
        return list(self._summarised(resident, entries, sums, train, held_out)), torch.cat(latents)

    def joint(self) -> Iterator[MetricValue]:
        """Yield the metrics of the joint tasks over all datasets that were measured."""
        for entry, total in zip(self._joint, self._joint_sums, strict=True):
            if not total:
                yield from without(entry, NO_HELD_OUT)
                continue
            loss, rows = float(total.pop(_LOSS)), float(total.pop(_ROWS))
            values = {"loss": loss / rows, **(entry.task.summarise(total) if total else {})}
            for name, measured in values.items():
                yield _metric(entry, name, measured, None)

    def _summarised(
        self,
        resident: Resident,
        entries: list[Entry],
        sums: list[dict[str, Tensor]],
        train: Indices,
        held_out: Indices,
    ) -> Iterator[MetricValue]:
        train_batch = resident.batch(torch.from_numpy(train).to(resident.device))
        held_out_batch = resident.batch(torch.from_numpy(held_out).to(resident.device))
        for entry, total in zip(entries, sums, strict=True):
            values: dict[str, float | str] = {}
            if entry.task.trains:
                values["loss"] = float(total.pop(_LOSS)) / len(held_out)
            values |= entry.task.summarise(total) if total else {}
            baseline = entry.task.baseline(train_batch, held_out_batch)
            for name, measured in values.items():
                yield _metric(entry, name, measured, baseline.get(name))


def without(entry: Entry, reason: str) -> list[MetricValue]:
    """Return the metrics of a task with a reason in place of values."""
    names = (*(["loss"] if entry.task.trains else []), *entry.task.metrics)
    return [_metric(entry, name, reason, None) for name in names]


def _add(total: dict[str, Tensor], found: Sums, device: torch.device) -> None:
    for name, value in found.items():
        term = torch.as_tensor(value, device=device)
        total[name] = total[name] + term if name in total else term


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

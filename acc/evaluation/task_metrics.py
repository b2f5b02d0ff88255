"""The metrics of a checkpoint's tasks on the rows that its experiment held out, with their intervals."""

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
from acc.training.data import Indices, Stored
from acc.training.restore import load_head
from acc.training.task import JointTask, Sight, Sums
from acc.training.taskset import Entry, TaskSet

NO_HELD_OUT = "no rows are held out (val_fraction is 0), and training rows would flatter the model"
_LOSS, _ROWS = "_loss", "_rows"
FOLDS = 20
T_95 = 2.093  # of Student's distribution with FOLDS - 1 degrees of freedom


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
        self, stored: Stored, entries: list[Entry], train: Indices, held_out: Indices, *, keep: Indices
    ) -> tuple[list[MetricValue], tuple[Indices, Tensor] | None]:
        """Return the metrics of the tasks on one dataset, and from the same pass rows with their latents (N, D).

        keep: the rows whose latents are wanted; those held out among them are returned. Of images no more than a
        few hundred are held at a time. Metrics of joint tasks come from ``joint`` in the end.
        """
        entries = [entry for entry in entries if not isinstance(entry.task, JointTask)]
        if not len(held_out):
            return [metric for entry in entries for metric in without(entry, NO_HELD_OUT)], None
        batches = max(-(-len(held_out) // BATCH_SIZE), min(FOLDS, len(held_out)))
        sums: list[list[dict[str, Tensor]]] = [[{} for _ in range(min(FOLDS, batches))] for _ in entries]
        latents: list[Tensor] = []
        kept = np.isin(held_out, keep)
        places = [np.arange(len(held_out))[first::batches] for first in range(batches)]
        for number, at in enumerate(places):
            batch = stored.batch(held_out[at])
            output = self._model.encode(batch.images)
            wanted = torch.from_numpy(np.flatnonzero(kept[at])).to(stored.device)
            latents.append(output.posterior_mean.float().index_select(0, wanted))
            for entry, folds in zip(entries, sums, strict=True):
                found = entry.task.evaluate(output, batch, entry.head)
                if entry.task.trains:
                    loss = entry.task.compute_loss(output, batch, entry.head)
                    found = {**found, _LOSS: loss.double() * len(batch), _ROWS: len(batch)}
                _add(folds[number % FOLDS], found, stored.device)
            others = [Sight(entry.task, output, batch) for entry in entries if entry.task.trains]
            for entry, total in zip(self._joint, self._joint_sums, strict=True):
                assert isinstance(entry.task, JointTask)
                own = Sight(entry.task, output, batch)
                loss = entry.task.compute_joint_loss(own, others, entry.head).double() * len(batch)
                found = {**entry.task.evaluate_joint(own, others), _LOSS: loss, _ROWS: len(batch)}
                _add(total, found, stored.device)
        rows = np.concatenate([held_out[at][kept[at]] for at in places])
        found_values = list(self._summarised(stored, entries, sums, train, held_out))
        return found_values, (rows, torch.cat(latents))

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
        stored: Stored,
        entries: list[Entry],
        sums: list[list[dict[str, Tensor]]],
        train: Indices,
        held_out: Indices,
    ) -> Iterator[MetricValue]:
        train_rows, held_out_rows = stored.all_of(train), stored.all_of(held_out)
        for entry, folds in zip(entries, sums, strict=True):
            values = _values(entry, _total(folds))
            without_one = [
                _values(entry, _total([*folds[:at], *folds[at + 1 :]])) for at in range(len(folds))
            ]
            baseline = entry.task.baseline(train_rows, held_out_rows)
            for name, measured in values.items():
                interval = _interval(measured, [each.get(name) for each in without_one])
                yield _metric(entry, name, measured, baseline.get(name), interval)


def _values(entry: Entry, total: dict[str, Tensor]) -> dict[str, float | str]:
    values: dict[str, float | str] = {}
    if _LOSS in total:
        values["loss"] = float(total.pop(_LOSS)) / float(total.pop(_ROWS))
    return {**values, **(entry.task.summarise(total) if total else {})}


def _total(folds: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    total: dict[str, Tensor] = {}
    for fold in folds:
        for name, value in fold.items():
            total[name] = total[name] + value if name in total else value
    return total


def _interval(
    value: float | str, without_one: list[float | str | None]
) -> tuple[float, float] | tuple[None, None]:
    """Return a 95 % interval by the jackknife that leaves out one of FOLDS folds; None where it is unknown."""
    others = [each for each in without_one if isinstance(each, float | int) and np.isfinite(each)]
    if not isinstance(value, float | int) or not np.isfinite(value) or len(others) < FOLDS:
        return None, None
    spread = np.asarray(others, dtype=np.float64)
    half = T_95 * float(np.sqrt((FOLDS - 1) / FOLDS * np.square(spread - spread.mean()).sum()))
    return float(value) - half, float(value) + half


def without(entry: Entry, reason: str) -> list[MetricValue]:
    """Return the metrics of a task with a reason in place of values."""
    names = (*(["loss"] if entry.task.trains else []), *entry.task.metrics)
    return [_metric(entry, name, reason, None) for name in names]


def _add(total: dict[str, Tensor], found: Sums, device: torch.device) -> None:
    for name, value in found.items():
        term = torch.as_tensor(value, device=device)
        total[name] = total[name] + term if name in total else term


def _metric(
    entry: Entry,
    name: str,
    measured: float | str,
    baseline: float | str | None,
    interval: tuple[float, float] | tuple[None, None] = (None, None),
) -> MetricValue:
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
        low=interval[0],
        high=interval[1],
    )

"""The metrics of a checkpoint's tasks on the rows that its experiment held out, with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from acc.differences import half_width
from acc.errors import InvalidInput
from acc.evaluation.encoding import Gathered, batches, sample_of
from acc.evaluation.metrics.jackknife import FEWEST_UNITS, GROUPS
from acc.models import Model, ModelOutput
from acc.results import MetricValue
from acc.specs import TaskSpec
from acc.training.baselines import metrics_of
from acc.training.batch import Batch, Indices, Stored
from acc.training.checkpoints.files import Checkpoint
from acc.training.failures import TaskFailed, failing
from acc.training.task import JointTask, Sums, TaskView
from acc.training.taskset import Entry, TaskSet

if TYPE_CHECKING:
    from acc.data import AccDataset

NO_HELD_OUT = "no rows are held out (val_fraction is 0), and training rows would flatter the model"
_LOSS, _ROWS, _ODD = "_loss", "_rows", "_odd"
_FEW_ROWS = 8


def attach(tasks: TaskSet, spec: TaskSpec, checkpoint: Checkpoint) -> Entry:
    """Return the attached task with the head that the checkpoint has; raises InvalidInput."""
    entry = tasks.attach(spec)
    try:
        tasks.awaken(spec.key, checkpoint)
        wrong = entry.load(checkpoint, tasks.device)
        entry.age = checkpoint.header.ages.get(spec.key, 0)
    except TaskFailed as error:
        wrong = str(error)
    if wrong:
        raise InvalidInput({"task_class": wrong})
    entry.eval()
    return entry


class TaskMetrics:
    """Adds up what tasks say of batches, one dataset after another; a joint task hears of all datasets."""

    def __init__(self, model: Model, joint: Sequence[Entry] = ()) -> None:
        self._model, self._joint = model, joint
        self._joint_sums: list[dict[str, Tensor]] = [{} for _ in joint]
        self._joint_failed: dict[str, str] = {}

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
        group, groups = _dealt(stored.dataset, held_out)
        sums: list[list[dict[str, Tensor]]] = [[{} for _ in range(groups)] for _ in entries]
        kept = np.isin(held_out, keep)
        latents = Gathered(int(kept.sum()))
        failures: list[MetricValue] = []
        parts = [
            (number, part) for number in range(groups) for part in batches(np.flatnonzero(group == number))
        ]
        for number, at in parts:
            batch = stored.batch(held_out[at])
            output = self._model.encode(batch.images)
            wanted = torch.from_numpy(np.flatnonzero(kept[at])).to(stored.device)
            latents.add(output.posterior_mean.float().index_select(0, wanted))
            for entry, folds in list(zip(entries, sums, strict=True)):
                try:
                    with failing(entry.spec, entry.task):
                        _add(folds[number], _of_batch(entry, output, batch), stored.device)
                except TaskFailed as error:  # the others are measured all the same
                    failures += without(entry, _unmeasured(error))
                    place = entries.index(entry)
                    del entries[place], sums[place]
            others = [TaskView(entry.task, output, batch) for entry in entries if entry.task.trains]
            for entry, total in zip(self._joint, self._joint_sums, strict=True):
                assert isinstance(entry.task, JointTask)
                if entry.spec.key in self._joint_failed:
                    continue
                own = TaskView(entry.task, output, batch)
                try:
                    with failing(entry.spec, entry.task):
                        given = entry.task.compute_joint_loss(own, others, entry.head, *entry.step)
                        told = _told(entry.summed(given), len(batch))
                        found = {**entry.task.evaluate_joint(own, others), **told}
                        _add(total, found, stored.device)
                except TaskFailed as error:
                    self._joint_failed[entry.spec.key] = _unmeasured(error)
        rows = np.concatenate([held_out[at][kept[at]] for _, at in parts])
        found_values = list(self._summarised(stored, entries, sums, train, held_out))
        return [*failures, *found_values], (rows, latents.rows)

    def joint(self) -> Iterator[MetricValue]:
        """Yield the metrics of the joint tasks over all datasets that were measured."""
        for entry, total in zip(self._joint, self._joint_sums, strict=True):
            reason = self._joint_failed.get(entry.spec.key, "" if total else NO_HELD_OUT)
            if reason:
                yield from without(entry, reason)
                continue
            try:
                with failing(entry.spec, entry.task):
                    values = _values(entry, total)
                    found = [_metric(entry, name, measured, None) for name, measured in values.items()]
            except TaskFailed as error:
                found = without(entry, _unmeasured(error))
            yield from found

    def _summarised(
        self,
        stored: Stored,
        entries: list[Entry],
        sums: list[list[dict[str, Tensor]]],
        train: Indices,
        held_out: Indices,
    ) -> Iterator[MetricValue]:
        sample = sample_of(stored.dataset, held_out, "task metrics", len(sums[0]) if sums else 0)
        for entry, folds in zip(entries, sums, strict=True):
            try:
                with failing(entry.spec, entry.task):
                    baseline = metrics_of(entry.task, stored, train, held_out)
                    found = list(_metrics(entry, folds, baseline, sample))
            except TaskFailed as error:
                found = without(entry, _unmeasured(error))
            yield from found


def _unmeasured(error: TaskFailed) -> str:
    return f"it could not be measured: {error}"


def _metrics(
    entry: Entry, folds: list[dict[str, Tensor]], baseline: Mapping[str, float | str], sample: str
) -> Iterator[MetricValue]:
    without_one = (
        [_values(entry, _total([*folds[:at], *folds[at + 1 :]])) for at in range(len(folds))]
        if len(folds) >= FEWEST_UNITS
        else []
    )
    for name, measured in _values(entry, _total(folds)).items():
        without_each = _numbers(measured, [each.get(name) for each in without_one])
        yield _metric(entry, name, measured, baseline.get(name), without_each=without_each, sample=sample)


def _of_batch(entry: Entry, output: ModelOutput, batch: Batch) -> Sums:
    """Return a task's sums over one batch, its loss among them."""
    found = entry.task.evaluate(output, batch, entry.head)
    if not entry.task.trains:
        return found
    loss = entry.loss(output, batch)
    return {**found, **_told(loss, len(batch))}


def _told(loss: Tensor, rows: int) -> dict[str, Any]:
    """Return what is added up of the loss of a batch: also how many were no finite numbers, and of how many rows."""
    odd = not bool(torch.isfinite(loss))
    return {_LOSS: loss.double() * rows, _ROWS: rows, _ODD: torch.tensor([1, odd, rows * odd])}


def _values(entry: Entry, total: dict[str, Tensor]) -> dict[str, float | str]:
    values: dict[str, float | str] = {}
    if _LOSS in total:
        loss = float(total.pop(_LOSS)) / float(total.pop(_ROWS))
        batches_of_all, odd, rows = total.pop(_ODD).tolist()
        values["loss"] = loss if not odd else _no_number(loss, batches_of_all, odd, rows)
    return {**values, **(entry.task.summarise(total) if total else {})}


def _no_number(loss: float, batches_of_all: int, odd: int, rows: int) -> str:
    """Return, in words, that the losses of ``odd`` batches, of ``rows`` rows, were no finite numbers."""
    told = f"came out as {loss}" + (f" for {odd} of {batches_of_all} batches" if odd < batches_of_all else "")
    if rows / odd > _FEW_ROWS:
        return f"{told}, which is no finite number"
    return (
        f"{told}, in batches of {rows / odd:.2g} images; evaluations go in batches of any size, down to one, and the "
        "loss must be a finite number for each"
    )


def _total(folds: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    total: dict[str, Tensor] = {}
    for fold in folds:
        for name, value in fold.items():
            total[name] = total[name] + value if name in total else value
    return total


def _dealt(dataset: AccDataset, rows: Indices) -> tuple[Indices, int]:
    """Return the jackknife's group of each of the rows, and how many there are; units stay whole."""
    units = np.arange(len(rows)) if dataset.units is None else np.asarray(dataset.units)[rows]
    _, first, code = np.unique(units, return_index=True, return_inverse=True)
    groups = min(GROUPS, len(first))
    return np.argsort(np.argsort(first))[code] % groups, groups


def _numbers(value: float | str, without_one: list[float | str | None]) -> tuple[float, ...]:
    """Return the values without each group; none where one is no finite number."""
    numbers = tuple(
        float(each) for each in without_one if isinstance(each, float | int) and np.isfinite(each)
    )
    known = isinstance(value, float | int) and np.isfinite(value) and len(numbers) == len(without_one)
    return numbers if known else ()


def without(entry: Entry, reason: str) -> list[MetricValue]:
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
    *,
    without_each: tuple[float, ...] = (),
    sample: str = "",
) -> MetricValue:
    value, reason = (None, measured) if isinstance(measured, str) else (measured, "")
    if value is not None and not np.isfinite(value):
        value, reason = None, f"came out as {value}, which is no finite number"
    half = float(half_width(np.asarray(without_each))) if without_each else None
    return MetricValue(
        task_key=entry.spec.key,
        name=name,
        value=value,
        higher_is_better=entry.task.metrics.get(name, False),
        reason=reason,
        baseline=baseline if isinstance(baseline, float) and np.isfinite(baseline) else None,
        thresholds=entry.task.threshold(name),
        low=value - half if value is not None and half is not None else None,
        high=value + half if value is not None and half is not None else None,
        without=without_each,
        sample=sample,
    )

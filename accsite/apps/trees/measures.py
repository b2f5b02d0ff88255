"""By which numbers checkpoints are compared: their losses here, and what other apps measured of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from django.db.models.fields.json import KeyTransform

from acc.errors import InvalidInput
from acc.training.losses import series
from accsite.apps.training.models import Checkpoint

TOTAL = "loss/total"


@dataclass(frozen=True)
class Measured:
    """One number of the checkpoints of an experiment: its whole name, and checkpoint -> value where it has one."""

    name: str
    values: Mapping[int, float]
    higher_is_better: bool


class Source(Protocol):
    """Numbers of the checkpoints of an experiment, by names that begin with ``prefix``."""

    prefix: str

    def names(self, experiment_id: int) -> Mapping[str, bool]:
        """Return name -> whether a higher value is better."""
        ...

    def read(self, experiment_id: int, name: str) -> Measured:
        """Return the number of that name; raises InvalidInput(metric) if it may be one of several."""
        ...

    def of(self, checkpoint: Checkpoint) -> Mapping[str, float]:
        """Return name -> value of one checkpoint."""
        ...


class Losses:
    """The last value of each loss series: ``loss/total``, and ``loss/<task key>`` before weighting."""

    prefix = "loss/"

    def names(self, experiment_id: int) -> Mapping[str, bool]:
        """Return the losses that the newest checkpoints have; lower is better."""
        rows = Checkpoint.objects.filter(experiment=experiment_id).exclude(losses={})
        newest = rows.order_by("-pk").values_list("losses", flat=True)[:20]
        found = {_name(key) for losses in newest for key in losses}
        return {name: False for name in sorted(found - {None}, key=lambda n: (n != TOTAL, str(n))) if name}

    def read(self, experiment_id: int, name: str) -> Measured:
        rows = Checkpoint.objects.filter(experiment=experiment_id).order_by()
        found = rows.values_list("pk", KeyTransform(_key(name), "losses"))
        return Measured(name, {pk: value for pk, value in found if value is not None}, higher_is_better=False)

    def of(self, checkpoint: Checkpoint) -> Mapping[str, float]:
        named = ((_name(key), value) for key, value in checkpoint.losses.items())
        return {name: value for name, value in named if name and value is not None}


_sources: list[Source] = [Losses()]


def register(source: Source) -> None:
    """Let checkpoints be compared by the numbers of another app."""
    if all(known.prefix != source.prefix for known in _sources):
        _sources.append(source)


def names(experiment_id: int) -> dict[str, bool]:
    """Return every name by which the checkpoints of an experiment can be compared -> higher is better."""
    return {name: higher for source in _sources for name, higher in source.names(experiment_id).items()}


def read(experiment_id: int, name: str) -> Measured:
    """Return the number of that name; raises InvalidInput(metric) for a name that no source has, or that several have.

    A number that nothing was measured of yet has no values.
    """
    for source in _sources:
        if name.startswith(source.prefix):
            return source.read(experiment_id, name)
    known = ", ".join(names(experiment_id)) or "none yet"
    raise InvalidInput({"metric": f"{name!r} is not measured of these checkpoints; known: {known}"})


def of(checkpoint: Checkpoint) -> dict[str, float]:
    """Return every number of one checkpoint by its name."""
    return {name: value for source in _sources for name, value in source.of(checkpoint).items()}


def _name(key: str) -> str | None:
    """Return how a series of losses is called here; None for one that is no loss of a task."""
    if key == series.TOTAL:
        return TOTAL
    task = series.task_key(key)
    return f"loss/{task}" if task and key == series.raw(task) else None


def _key(name: str) -> str:
    return series.TOTAL if name == TOTAL else series.raw(name.removeprefix("loss/"))

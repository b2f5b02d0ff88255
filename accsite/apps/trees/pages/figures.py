"""The few numbers by which a checkpoint is known at a glance, each beside the same of its parent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from accsite.apps.training.models import Checkpoint
from accsite.apps.trees import measures
from accsite.numbers import compact

MOST = 4
PREFERRED = ("accuracy", "r2", "psnr", "mae")
"""Of what is measured of a task, what is shown first."""
WHOLE = ("ufr", "unified")
LOSS, METRIC = "loss/", "metric/"


@dataclass(frozen=True)
class Figure:
    """A number of a checkpoint. ``before``: of its parent; ``better``: than that, None where it cannot be said."""

    name: str
    of: str
    value: float
    before: float | None
    better: bool | None


def key_figures(checkpoint: Checkpoint, found: Mapping[str, float]) -> list[Figure]:
    """Return up to MOST numbers: the total loss, what is measured of the tasks, of the whole, and losses of tasks.

    found: every number of the checkpoint by its name, as ``measures.of`` returns them.
    """
    tasks = checkpoint.spec.get("tasks", [])
    chosen = [measures.TOTAL] if measures.TOTAL in found else []
    chosen += filter(None, (_preferred(task["key"], found) for task in tasks))
    chosen += [name for wanted in WHOLE for name in found if _metric(name) == ("", wanted)]
    untold = [f"{LOSS}{task['key']}" for task in tasks if not _preferred(task["key"], found)]
    chosen += [name for name in untold if name in found]
    names = list(dict.fromkeys(chosen))[:MOST]
    before = measures.of(checkpoint.parent) if checkpoint.parent is not None else {}
    higher = measures.names(checkpoint.experiment_id)
    words = {task["key"]: task["name"] for task in tasks}
    return [_figure(name, found[name], before.get(name), higher.get(name, False), words) for name in names]


def _figure(name: str, value: float, before: float | None, higher: bool, words: Mapping[str, str]) -> Figure:
    same = before is None or compact(before) == compact(value)
    better = None if before is None or same else (value > before) == higher
    if name == measures.TOTAL:
        return Figure("total loss", "weighted", value, before, better)
    if name.startswith(LOSS):
        key = name.removeprefix(LOSS)
        return Figure(words.get(key, key), "loss", value, before, better)
    key, metric = _metric(name)
    return Figure(words.get(key, key) or "factoring", metric, value, before, better)


def _preferred(key: str, found: Mapping[str, float]) -> str | None:
    measured = {metric: name for name in found for of, metric in [_metric(name)] if of == key}
    return next((measured[wanted] for wanted in PREFERRED if wanted in measured), None)


def _metric(name: str) -> tuple[str, str]:
    """Return (task key, metric) of ``metric/digit/accuracy on digits``; nothing of any other name."""
    if not name.startswith(METRIC):
        return "\0", ""
    key, _, rest = name.removeprefix(METRIC).rpartition("/")
    return key, rest.partition(" on ")[0]

"""Reads what differs along the edges of a tree, in as few words as stand beside a line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from django.db.models import TextField
from django.db.models.functions import Cast

from accsite.apps.training.models import Checkpoint, Experiment
from accsite.apps.trees.selectors.differences import spec_difference

ARROW = "\N{RIGHTWARDS ARROW}"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
UNTOLD = {
    "steps",
    "device",
    "device_memory_gib",
    "threads",
    "checkpoint_every_steps",
    "checkpoint_every_seconds",
}
"""Settings of a training that say how long and where, and not what is learned."""
SHORT = {"batch_size": "batch", "lr_schedule": "schedule", "latent_dim": "latent", "grad_clip_norm": "clip"}
MOST_RATIO = 1000
LONGEST = 40


def edges(experiment: Experiment, parents: Mapping[int, int | None]) -> dict[int, str]:
    """Return checkpoint -> what its specification has that its parent's has not, where that is anything.

    parents: checkpoint -> what it hangs on in the tree.
    """
    rows = Checkpoint.objects.filter(experiment=experiment).order_by()
    texts: dict[str, str] = {}  # most of a tree shares the specification of a few jobs
    specs: dict[int, str] = {}
    for pk, text in rows.values_list("pk", Cast("spec", TextField())).iterator(2000):
        specs[pk] = texts.setdefault(text, text)
    found = {}
    for pk, parent in parents.items():
        before, after = specs.get(parent or 0), specs.get(pk)
        if (
            before is not None
            and after is not None
            and before is not after
            and (said := _said(before, after))
        ):
            found[pk] = said
    return found


@lru_cache(maxsize=4096)
def _said(before: str, after: str) -> str:
    return " · ".join(phrases(spec_difference(json.loads(before), json.loads(after)), _names(before, after)))


def _names(*specs: str) -> dict[str, str]:
    return {task["key"]: task["name"] for spec in specs for task in json.loads(spec).get("tasks", ())}


def phrases(difference: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    """Return a difference of two specifications in short phrases, what matters most first.

    difference: as ``spec_difference`` returns it; names: key of a task -> its name.
    """
    tasks = difference.get("tasks", {})
    found = [f"+ {task['name']}" for task in tasks.get("added", ())]
    found += [f"{MINUS} {task['name']}" for task in tasks.get("removed", ())]
    for key, fields in tasks.get("changed", {}).items():
        found += _of_task(names.get(key, key), fields)
    found += _of_model(difference.get("model", {}))
    train = difference.get("train", {})
    found += [_changed(SHORT.get(name, name), *pair) for name, pair in train.items() if name not in UNTOLD]
    data = difference.get("datasets", {})
    if not tasks:
        found += [f"+ data {name}" for name in data.get("added", ())]
    told = {task["task_class"] for part in ("added", "removed") for task in tasks.get(part, ())}
    # The first source that is named where there was none is of a class that came with a task or with an import.
    found += [
        f"{name} edited"
        for name, (old, new) in difference.get("plugins", {}).items()
        if name not in told and old and new
    ]
    return found


def _of_task(name: str, fields: Mapping[str, Any]) -> Iterable[str]:
    for field, (old, new) in fields.items():
        if field == "enabled":
            yield f"{name} {'on' if new else 'off'}"
        elif field == "weight":
            yield _changed(f"weight {name}", old, new, ratio=False)
        elif field == "params":
            yield from _params(f"{name} ", old, new)
        elif field == "name":
            yield f"{old} {ARROW} {new}"
        elif field in ("latent_slice", "factor"):
            yield _changed(f"{name} reads", old, new)
        else:
            yield _changed(f"{name} {field}", old, new)


def _of_model(fields: Mapping[str, Any]) -> Iterable[str]:
    for field, (old, new) in fields.items():
        if field == "factor_groups":
            before, after = ({group["name"] for group in side or ()} for side in (old, new))
            yield from (f"+ group {name}" for name in sorted(after - before))
            yield from (f"{MINUS} group {name}" for name in sorted(before - after))
        elif field == "params":
            yield from _params("", old, new)
        elif field != "seed":
            yield _changed(SHORT.get(field, field), old, new)


def _params(of: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Iterable[str]:
    before, after = old or {}, new or {}
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield _changed(f"{of}{name}", before.get(name), after.get(name))


def _changed(name: str, old: Any, new: Any, *, ratio: bool = True) -> str:
    """Return ``lr / 10`` where one is a round multiple of the other, else ``lr .002 → .005``."""
    name = name.replace("_", " ")
    if ratio and _number(old) and _number(new) and isinstance(new, float) and old > 0 < new:
        for sign, times in (("/", old / new), (TIMES, new / old)):
            whole = round(times)
            if 2 <= whole <= MOST_RATIO and math.isclose(times, whole, rel_tol=1e-9):
                return f"{name} {sign} {whole}"
    return f"{name} {_text(old)} {ARROW} {_text(new)}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _text(value: Any) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and len(value) == 2 and all(isinstance(part, int) for part in value):
        return f"{value[0]}:{value[1]}"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

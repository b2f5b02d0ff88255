"""Reads what differs along the edges of a tree, in as few words as stand beside a line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import blake2b
from threading import Lock
from typing import Any, Generic, TypeVar

from django.db.models import QuerySet, TextField
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
AT_ONCE = 100
"""Specifications, or pairs of them, that are read at once."""
K = TypeVar("K")
V = TypeVar("V")


def edges(
    experiment: Experiment, parents: Mapping[int, int | None], made: Mapping[int, datetime]
) -> dict[int, str]:
    """Return checkpoint -> what its specification has that its parent's has not, where that is anything.

    parents: checkpoint -> what it hangs on in the tree. made: checkpoint -> when, which with its id names it for good.
    """
    rows = Checkpoint.objects.filter(experiment=experiment).order_by()
    digests = _digests(rows, made)
    pairs = {
        pk: (digests[parent], digests[pk])
        for pk, parent in parents.items()
        if parent in digests and pk in digests and digests[parent] != digests[pk]
    }
    told = {pair: said for pair in set(pairs.values()) if (said := _said.get(pair)) is not None}
    unknown = [pair for pair in dict.fromkeys(pairs.values()) if pair not in told]
    ends = {
        digest: pk for pk, digest in digests.items()
    }  # most of a tree shares the specification of a few jobs
    for at in range(0, len(unknown), AT_ONCE):
        some = unknown[at : at + AT_ONCE]
        wanted = {digest for pair in some for digest in pair}
        read = rows.filter(pk__in=[ends[digest] for digest in wanted]).values_list("pk", "spec")
        specs = {digests[pk]: spec for pk, spec in read}
        for before, after in some:
            if before in specs and after in specs:  # one may have been deleted meanwhile
                told[before, after] = _in_words(specs[before], specs[after])
                _said.put((before, after), told[before, after])
    return {pk: told[pair] for pk, pair in pairs.items() if told.get(pair)}


def _digests(rows: QuerySet[Checkpoint], made: Mapping[int, datetime]) -> dict[int, bytes]:
    """Return checkpoint -> hash of its specification, which never changes: what was read once is not read again."""
    found = {pk: digest for pk, when in made.items() if (digest := _hashed.get((pk, when))) is not None}
    unknown = {pk for pk in made if pk not in found}
    if not unknown:
        return found
    some = rows if len(unknown) > AT_ONCE else rows.filter(pk__in=unknown)
    for pk, text in some.values_list("pk", Cast("spec", TextField())).iterator(AT_ONCE):
        if pk in unknown:
            found[pk] = blake2b(text.encode(), digest_size=16).digest()
            _hashed.put((pk, made[pk]), found[pk])
    return found


class _Newest(Generic[K, V]):
    """A mapping of no more than ``most`` entries: one that is too many lets go of the oldest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[K, V] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K) -> V | None:
        return self._kept.get(key)

    def put(self, key: K, value: V) -> None:
        with self._lock:
            while len(self._kept) >= self._most:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = value


# Hashes and a few words each, where a specification is kilobytes.
_hashed = _Newest[tuple[int, datetime], bytes](20_000)
_said = _Newest[tuple[bytes, bytes], str](4096)


def _in_words(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    names = {task["key"]: task["name"] for spec in (before, after) for task in spec.get("tasks", ())}
    return " · ".join(phrases(spec_difference(before, after), names))


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

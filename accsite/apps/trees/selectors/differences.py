"""What of a specification differs from another: what a checkpoint says beside its parent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Spec = Mapping[str, Any]


def spec_difference(before: Spec | None, after: Spec) -> dict[str, Any]:
    """Return what changed from one ``TrainJobSpec`` (as plain data) to another; parts that agree are left out.

    ``model``, ``train``: field -> [before, after]. ``tasks``: ``added``, ``removed`` (specifications), ``changed``
    (key -> field -> [before, after]). ``datasets``: ``added``, ``removed`` (names). ``plugins``: class ->
    [sha256 before, after]. Without a ``before`` everything is added.
    """
    empty: Spec = {}
    before = before or empty
    found = {
        "model": _fields(before.get("model", empty), after.get("model", empty)),
        "train": _fields(before.get("train", empty), after.get("train", empty)),
        "tasks": _tasks(before.get("tasks", ()), after.get("tasks", ())),
        "datasets": _datasets(before.get("datasets", empty), after.get("datasets", empty)),
        "plugins": _fields(sources(before), sources(after)),
    }
    return {name: value for name, value in found.items() if value}


def sources(spec: Spec) -> dict[str, str]:
    """Return class -> sha256 of the plugin source that a specification names."""
    of_tasks = {task["task_class"]: task.get("source_sha256", "") for task in spec.get("tasks", ())}
    known = {**spec.get("plugins", {}), **{name: sha256 for name, sha256 in of_tasks.items() if sha256}}
    used = {*of_tasks, spec.get("model", {}).get("architecture", "")}
    return {name: sha256 for name, sha256 in known.items() if name in used}


def _fields(before: Spec, after: Spec) -> dict[str, list[Any]]:
    names = [*after, *(name for name in before if name not in after)]
    pairs = {name: [before.get(name), after.get(name)] for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _tasks(before: Any, after: Any) -> dict[str, Any]:
    old = {task["key"]: task for task in before}
    new = {task["key"]: task for task in after}
    changed = {key: _fields(old[key], new[key]) for key in new if key in old}
    for fields in changed.values():
        fields.pop("source_sha256", None)  # told once, among the plugins
    found = {
        "added": [new[key] for key in new if key not in old],
        "removed": [old[key] for key in old if key not in new],
        "changed": {key: fields for key, fields in changed.items() if fields},
    }
    return {name: value for name, value in found.items() if value}


def _datasets(before: Spec, after: Spec) -> dict[str, list[str]]:
    old = {spec["content_hash"]: spec["name"] for spec in before.values()}
    new = {spec["content_hash"]: spec["name"] for spec in after.values()}
    found = {
        "added": sorted(name for content, name in new.items() if content not in old),
        "removed": sorted(name for content, name in old.items() if content not in new),
    }
    return {name: value for name, value in found.items() if value}

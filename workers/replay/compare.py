"""Compares what a replay came to with what was recorded, and now with then."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from acc.training.checkpoints.files import Checkpoint as State
from acc.training.checkpoints.files import Snapshot
from acc.training.checkpoints.versions import versions
from accsite.apps.datasets.models import Dataset
from accsite.apps.registry.models import Plugin
from accsite.apps.training.models import Checkpoint
from accsite.apps.training.selectors import loss_history
from accsite.apps.trees.selectors.differences import sources


class Impossible(Exception):
    """A line that cannot be run again; the text says why."""


def difference(node: Checkpoint, recorded: State | None, found: State) -> str | None:
    """Return the name of the first tensor that differs, weights before heads and the optimizer's state.

    Raises Impossible where the file was pruned and that of the replay is another.
    """
    if recorded is None:
        with tempfile.TemporaryDirectory(prefix="acc-replay-") as folder:
            written = Snapshot(found.header.job_step, found.header, found.tensors).write(
                Path(folder) / "again"
            )
        if written == node.sha256:
            return None
        raise Impossible(
            f"the file of checkpoint {node.pk} was pruned, and that of the replay has another sha256; "
            "there is nothing left to compare with"
        )
    order = ("model.", "head.", "optim.")
    names = sorted(
        (name for name in recorded.tensors.keys() | found.tensors.keys() if name.startswith(order)),
        key=lambda name: ([name.startswith(prefix) for prefix in order][::-1], name),
    )
    for name in names:
        a, b = recorded.tensors.get(name), found.tensors.get(name)
        if a is None or b is None or a.dtype != b.dtype or a.shape != b.shape:
            return name
        if a.numpy().tobytes() != b.numpy().tobytes():
            return name
    return None


def first_step(node: Checkpoint, history: dict[str, Any]) -> int | None:
    """Return the first step of the job whose recorded losses are not those of the replay."""
    if node.job is None or not history:
        return None
    header, columns = loss_history(node.job, start=0, stop=node.job_step)
    first: int | None = None
    for name, row in zip(header["series"], columns, strict=True):
        again = history.get(name)
        if again is None or not name.startswith(("raw/", "total")):
            continue
        size = min(len(row), len(again))
        differs = np.flatnonzero(
            ~((row[:size] == again[:size]) | (np.isnan(row[:size]) & np.isnan(again[:size])))
        )
        if len(differs):
            step = int(header["start"] + differs[0])
            first = step if first is None else min(first, step)
    return first


def changes(node: Checkpoint, recorded: State | None, device: str) -> dict[str, Any]:
    """Return what is not as it was when the checkpoint was made; ``device``: what a GPU's work is replayed on."""
    found: dict[str, Any] = {}
    if recorded is not None:
        then, now = recorded.header.versions, versions()
        libraries = {
            name: [then.get(name), now.get(name)]
            for name in sorted(then.keys() | now.keys())
            if then.get(name) != now.get(name)
        }
        if libraries:
            found["libraries"] = libraries
        if recorded.header.device.startswith("cuda") and not device.startswith("cuda"):
            found["device"] = [recorded.header.device, device]
    made_by = sources(node.spec)
    current = sources_now(list(made_by))
    plugins = {name: [sha, current.get(name)] for name, sha in made_by.items() if current.get(name) != sha}
    if plugins:
        found["plugins"] = plugins
    data = {}
    for spec in node.spec.get("datasets", {}).values():
        row = Dataset.objects.filter(content_hash=spec["content_hash"]).first()
        if row is None:
            data[spec["name"]] = "is not on this site any more"
        elif spec.get("sha256") and row.sha256 != spec["sha256"]:
            data[spec["name"]] = "is another file of the same content"
    if data:
        found["data"] = data
    return found


def sources_now(names: list[str]) -> dict[str, str]:
    """Return class -> sha256 of its source as it is now."""
    return dict(Plugin.objects.filter(name__in=names).values_list("name", "source_id"))

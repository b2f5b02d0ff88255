"""Runs again everything that led to a checkpoint, in memory, and compares bit by bit.

``python -m workers.replay ID [--json] [--current-plugins]``; exit status 0 the same, 1 they differ, 2 cannot.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acc.training.checkpoint import Checkpoint as State
    from accsite.apps.training.models import Checkpoint

SAME, DIFFERS, CANNOT = "same", "differs", "cannot"
STATUS = {SAME: 0, DIFFERS: 1, CANNOT: 2}


@dataclass
class Verdict:
    """What a replay found.

    checkpoint: the first of the line that differs, else the one asked for. step: of its job, the first whose
    losses differ; tensor: the first that differs. changes: what is not as it was when the checkpoint was made:
    ``libraries`` (name -> [then, now]), ``device``, ``plugins`` (class -> [then, now]), ``data``.
    """

    verdict: str
    message: str
    checkpoint: int
    step: int | None = None
    tensor: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    replayed: list[int] = field(default_factory=list)


class Impossible(Exception):
    """A line that cannot be run again; the text says why."""


def replay(checkpoint: Checkpoint, *, current_plugins: bool = False) -> Verdict:
    """Return the verdict on a checkpoint. Nothing is written to the database or to storage."""
    from acc.errors import AccError

    verdict = Verdict(SAME, "", checkpoint.pk)
    state: State | None = None
    node = checkpoint
    try:
        for node in line_of(checkpoint):
            recorded = _recorded(node)
            verdict.changes = _changes(node, recorded)
            state, history = _again(node, state, recorded, current_plugins)
            verdict.replayed.append(node.pk)
            tensor = _difference(node, recorded, state)
            if tensor is not None:
                verdict.checkpoint, verdict.verdict, verdict.tensor = node.pk, DIFFERS, tensor
                verdict.step = _first_step(node, history)
                verdict.message = _told(verdict)
                return verdict
    except (Impossible, AccError) as error:
        verdict.verdict, verdict.checkpoint = CANNOT, node.pk
        verdict.message = f"checkpoint {checkpoint.pk} cannot be replayed: {error}"
        return verdict
    verdict.message = (
        f"checkpoint {checkpoint.pk} is the same to the bit after {len(verdict.replayed)} "
        f"replayed part{'s' * (len(verdict.replayed) != 1)} of its line"
    )
    return verdict


def line_of(checkpoint: Checkpoint) -> list[Checkpoint]:
    """Return the checkpoints from the root to this one."""
    line = [checkpoint]
    while line[-1].parent is not None:
        line.append(line[-1].parent)
    return line[::-1]


def _again(
    node: Checkpoint, before: State | None, recorded: State | None, current_plugins: bool
) -> tuple[State, dict[str, Any]]:
    """Return the state that running a node's job again leads to, and the losses on the way."""
    from accsite.apps.training.models import CheckpointKind

    if node.kind == CheckpointKind.IMPORTED:
        if recorded is None:
            raise Impossible(f"it begins at checkpoint {node.pk}, which was imported, and whose file is gone")
        return recorded, {}
    if node.job is None:
        raise Impossible(f"the job that made checkpoint {node.pk} is not on record any more")
    if node.kind == CheckpointKind.EXPANDED:
        assert before is not None
        return _expand(node, before), {}
    return _train(node, before, recorded, current_plugins)


def _expand(node: Checkpoint, before: State) -> State:
    from acc.expansion import ExpansionSpec
    from acc.training.expansion import expand_checkpoint
    from acc.training.plugin_set import PluginSet
    from workers.materials import Datasets, from_header

    assert node.job is not None
    datasets = Datasets()
    for key, dataset in before.header.spec.datasets.items():
        datasets.load(key, dataset)
    classes = PluginSet(*from_header(before.header.plugins))
    expansion = ExpansionSpec.model_validate(node.job.spec["expansion"])
    return expand_checkpoint(before, expansion, datasets, classes).snapshot.checkpoint()


def _train(
    node: Checkpoint, before: State | None, recorded: State | None, current_plugins: bool
) -> tuple[State, dict[str, Any]]:
    import torch

    from acc.specs import DatasetSpec, TaskSpec, TrainJobSpec
    from acc.training.run import MemorySink
    from acc.training.trainer import Trainer
    from workers.materials import Datasets, classes_of, from_rows

    assert node.job is not None
    spec = TrainJobSpec.model_validate(node.job.spec)
    commands = _steering(node)
    plugins = spec.plugins
    sources = [c.payload["task"]["source_sha256"] for c in commands if c.kind == "add_task"]
    if current_plugins:
        now = _sources_now([*plugins, *(task.task_class for task in spec.tasks)])
        plugins = {name: now.get(name, sha256) for name, sha256 in plugins.items()}
        sources = []
    classes = classes_of(plugins)
    classes.add(*from_rows(sources))
    datasets = Datasets()
    for key, dataset in spec.datasets.items():
        datasets.load(key, dataset)
    for command in commands:
        if command.kind == "add_task":
            task = TaskSpec.model_validate(command.payload["task"])
            datasets.load(task.dataset, DatasetSpec.model_validate(command.payload["dataset"]))
    if recorded is not None:
        torch.set_num_threads(recorded.header.threads)
    wanted = recorded.header.device if recorded is not None else spec.train.device
    device = "cuda" if wanted.startswith("cuda") and torch.cuda.is_available() else "cpu"
    sink = MemorySink()
    stop = node.job_step if node.job_step < spec.train.steps else None
    trainer = Trainer(
        spec,
        datasets,
        classes=classes,
        sink=sink,
        control=_Script(commands, stop),
        start_from=before,
        device=device,
    )
    trainer.run()
    if trainer.step != node.job_step:
        raise Impossible(f"job {node.job.pk} ended at step {trainer.step}, not at {node.job_step}")
    return trainer.snapshot().checkpoint(), sink.history()


class _Script:
    """A control that gives each command before its step, and ends the run at ``stop``."""

    def __init__(self, commands: Sequence[Any], stop: int | None) -> None:
        self._commands, self._stop = list(commands), stop

    def due(self, step: int) -> list[Any]:
        """Return what was applied before this step, and a stop at the last."""
        from acc.training.protocols import Command

        due = [command for command in self._commands if command.at_step <= step]
        self._commands = [command for command in self._commands if command.at_step > step]
        return [*due, Command(0, "stop")] if step == self._stop else due

    def wait(self, seconds: float) -> None:
        """Never asked: nothing pauses a replay."""


def _steering(node: Checkpoint) -> list[Any]:
    """Return the commands that were applied before the checkpoint was made, each with its step."""
    from accsite.apps.training.models import CheckpointKind
    from accsite.apps.training.services.events import replay_commands

    assert node.job is not None
    until = node.job_step if node.kind == CheckpointKind.STOPPED else node.job_step - 1
    return [
        one for one in replay_commands(node.job.pk, 0) if one.at_step is not None and one.at_step <= until
    ]


def _recorded(node: Checkpoint) -> State | None:
    """Return the recorded state, None if its file was pruned; raises CheckpointError for a damaged one."""
    from workers.train import load

    return None if node.weights_pruned_at is not None else load(node)


def _difference(node: Checkpoint, recorded: State | None, found: State) -> str | None:
    """Return the name of the first tensor that differs, weights before heads and the optimizer's state."""
    if recorded is None:
        with tempfile.TemporaryDirectory(prefix="acc-replay-") as folder:
            from acc.training.checkpoint import Snapshot

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


def _first_step(node: Checkpoint, history: dict[str, Any]) -> int | None:
    """Return the first step of the job whose recorded losses are not those of the replay."""
    import numpy as np

    from accsite.apps.training.selectors import loss_history

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


def _changes(node: Checkpoint, recorded: State | None) -> dict[str, Any]:
    """Return what is not as it was when the checkpoint was made."""
    import torch

    from acc.training.environment import versions
    from accsite.apps.datasets.models import Dataset
    from accsite.apps.training.differences import sources

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
        if recorded.header.device.startswith("cuda") and not torch.cuda.is_available():
            found["device"] = [recorded.header.device, "cpu"]
    made_by = sources(node.spec)
    current = _sources_now(list(made_by))
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


def _sources_now(names: list[str]) -> dict[str, str]:
    from accsite.apps.registry.models import Plugin

    return dict(Plugin.objects.filter(name__in=names).values_list("name", "source_id"))


def _told(verdict: Verdict) -> str:
    where = f"from step {verdict.step} of its job" if verdict.step is not None else "though the losses agree"
    what = ", ".join(sorted(verdict.changes)) or "nothing that is known of"
    first = f"first in tensor '{verdict.tensor}', {where}"
    return f"checkpoint {verdict.checkpoint} differs, {first}; changed since: {what}"


def main(arguments: list[str] | None = None) -> int:
    """Replay one checkpoint, print the verdict, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m workers.replay", description=__doc__)
    parser.add_argument("checkpoint", type=int)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--current-plugins", action="store_true")
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "accsite.settings.embedded")
    import django

    django.setup()
    from accsite.apps.training.models import Checkpoint

    found = Checkpoint.objects.filter(pk=options.checkpoint).first()
    if found is None:
        verdict = Verdict(CANNOT, f"there is no checkpoint {options.checkpoint}", options.checkpoint)
    else:
        verdict = replay(found, current_plugins=options.current_plugins)
    if options.json:
        print(json.dumps(asdict(verdict)))  # noqa: T201 - the command's answer
    else:
        print(verdict.message)  # noqa: T201
        for name, value in verdict.changes.items():
            print(f"  changed {name}: {value}")  # noqa: T201
    return STATUS[verdict.verdict]


if __name__ == "__main__":
    sys.exit(main())

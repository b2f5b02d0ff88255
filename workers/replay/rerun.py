"""Runs again everything that led to a checkpoint, in memory, and compares bit by bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from acc.errors import AccError
from acc.expansion import ExpansionSpec
from acc.specs import DatasetSpec, TaskSpec, TrainJobSpec
from acc.training.checkpoints.expand import expand_checkpoint
from acc.training.checkpoints.files import Checkpoint as State
from acc.training.plugin_set import PluginSet
from acc.training.protocols import Command
from acc.training.run import MemorySink
from acc.training.trainer import Trainer
from accsite.apps.training.models import Checkpoint, CheckpointKind
from accsite.apps.training.services.code import require_code
from accsite.apps.training.services.events import replay_commands
from workers.job.materials import Datasets, classes_of, from_header, from_rows, load_checkpoint
from workers.replay import compare
from workers.replay.compare import Impossible

SAME, DIFFERS, CANNOT = "same", "differs", "cannot"
STATUS = {SAME: 0, DIFFERS: 1, CANNOT: 2}
"""The exit status of ``python -m workers.replay`` by verdict."""


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


def replay(
    checkpoint: Checkpoint,
    *,
    current_plugins: bool = False,
    gpu: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> Verdict:
    """Return the verdict on a checkpoint. Nothing is written to the database or to storage.

    gpu: where that is run again which was trained on a GPU; None: any there is, else the CPU. progress: told
    the fraction of the line's steps that is done.
    """
    device = _gpu() if gpu is None else gpu
    verdict = Verdict(SAME, "", checkpoint.pk)
    state: State | None = None
    node = checkpoint
    try:
        line = line_of(checkpoint)
        require_code(line, "checkpoint")
        steps = _Steps(line, progress)
        for node in line:
            recorded = _recorded(node)
            verdict.changes = compare.changes(node, recorded, device)
            state, history = _again(node, state, recorded, _How(current_plugins, device, steps))
            verdict.replayed.append(node.pk)
            steps.done(node)
            tensor = compare.difference(node, recorded, state)
            if tensor is not None:
                verdict.checkpoint, verdict.verdict, verdict.tensor = node.pk, DIFFERS, tensor
                verdict.step = compare.first_step(node, history)
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


class _Steps:
    """How much of a line is done, told as a fraction of all its steps."""

    def __init__(self, line: Sequence[Checkpoint], progress: Callable[[float], None] | None) -> None:
        self._total = max(1, steps_in(line))
        self._before = 0
        self._progress = progress

    def done(self, node: Checkpoint) -> None:
        """Note that a node has been reached."""
        self._before += steps_in([node])
        self.at(0)

    def at(self, step: int) -> None:
        """Tell that the job of the next node is before this step."""
        if self._progress is not None:
            self._progress((self._before + step) / self._total)


@dataclass(frozen=True)
class _How:
    """How a line is run again; ``gpu``: the device for what was trained on one."""

    current_plugins: bool
    gpu: str
    steps: _Steps


def _gpu() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def steps_in(line: Sequence[Checkpoint]) -> int:
    """Return how many steps of training lead to these checkpoints."""
    return sum(node.job_step for node in line if node.job_id is not None)


def _again(
    node: Checkpoint, before: State | None, recorded: State | None, how: _How
) -> tuple[State, dict[str, Any]]:
    """Return the state that running a node's job again leads to, and the losses on the way."""
    if node.kind == CheckpointKind.IMPORTED:
        if recorded is None:
            raise Impossible(f"it begins at checkpoint {node.pk}, which was imported, and whose file is gone")
        return recorded, {}
    if node.job is None:
        raise Impossible(f"the job that made checkpoint {node.pk} is not on record any more")
    if node.kind == CheckpointKind.EXPANDED:
        assert before is not None
        return _expand(node, before), {}
    return _train(node, before, recorded, how)


def _expand(node: Checkpoint, before: State) -> State:
    assert node.job is not None
    datasets = Datasets(before.header.spec.datasets)
    classes = PluginSet(*from_header(before.header.plugins))
    expansion = ExpansionSpec.model_validate(node.job.spec["expansion"])
    return expand_checkpoint(before, expansion, datasets, classes).snapshot.checkpoint()


def _train(
    node: Checkpoint, before: State | None, recorded: State | None, how: _How
) -> tuple[State, dict[str, Any]]:
    assert node.job is not None
    spec = TrainJobSpec.model_validate(node.job.spec)
    if spec.train.ranks > 1:
        raise Impossible(
            f"its job {node.job.pk} was trained by {spec.train.ranks} ranks, and a replay is one process, which adds "
            "up gradients in another order; train again with as many ranks and compare"
        )
    commands = _steering(node)
    plugins = spec.plugins
    sources = [c.payload["task"]["source_sha256"] for c in commands if c.kind == "add_task"]
    if how.current_plugins:
        now = compare.sources_now([*plugins, *(task.task_class for task in spec.tasks)])
        plugins = {name: now.get(name, sha256) for name, sha256 in plugins.items()}
        sources = []
    classes = classes_of(plugins)
    classes.add(*from_rows(sources))
    datasets = Datasets(spec.datasets)
    for command in commands:
        if command.kind == "add_task":
            task = TaskSpec.model_validate(command.payload["task"])
            datasets.load(task.dataset, DatasetSpec.model_validate(command.payload["dataset"]))
    if recorded is not None:
        torch.set_num_threads(recorded.header.threads)
    wanted = recorded.header.device if recorded is not None else spec.train.device
    device = how.gpu if wanted.startswith("cuda") else "cpu"
    sink = MemorySink()
    stop = node.job_step if node.job_step < spec.train.steps else None
    trainer = Trainer(
        spec,
        datasets,
        classes=classes,
        sink=sink,
        control=_Script(commands, stop, how.steps),
        start_from=before,
        device=device,
    )
    trainer.run()
    if trainer.step != node.job_step:
        raise Impossible(f"job {node.job.pk} ended at step {trainer.step}, not at {node.job_step}")
    return trainer.snapshot().checkpoint(), sink.history()


class _Script:
    """A control that gives each command before its step, and ends the run at ``stop``."""

    def __init__(self, commands: Sequence[Any], stop: int | None, steps: _Steps) -> None:
        self._commands, self._stop, self._steps = list(commands), stop, steps

    def due(self, step: int) -> list[Any]:
        """Return what was applied before this step, and a stop at the last."""
        self._steps.at(step)
        due = [command for command in self._commands if command.at_step <= step]
        self._commands = [command for command in self._commands if command.at_step > step]
        return [*due, Command(0, "stop")] if step == self._stop else due

    def wait(self, seconds: float) -> None:
        """Never asked: nothing pauses a replay."""


def _steering(node: Checkpoint) -> list[Any]:
    """Return the commands that were applied before the checkpoint was made, each with its step."""
    assert node.job is not None
    until = node.job_step if node.kind == CheckpointKind.STOPPED else node.job_step - 1
    return [
        one for one in replay_commands(node.job.pk, 0) if one.at_step is not None and one.at_step <= until
    ]


def _recorded(node: Checkpoint) -> State | None:
    """Return the recorded state, None if its file was pruned; raises CheckpointError for a damaged one."""
    return None if node.weights_pruned_at is not None else load_checkpoint(node)


def _told(verdict: Verdict) -> str:
    where = f"from step {verdict.step} of its job" if verdict.step is not None else "though the losses agree"
    what = ", ".join(sorted(verdict.changes)) or "nothing that is known of"
    first = f"first in tensor '{verdict.tensor}', {where}"
    return f"checkpoint {verdict.checkpoint} differs, {first}; changed since: {what}"

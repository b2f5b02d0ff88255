"""The trainer: from a frozen specification to trained weights, steered and recorded on the way.

Nothing here waits for a database or a disk: a Sink takes what comes out, a Control says what is asked.
"""

from __future__ import annotations

import platform
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

import acc
from acc import rng
from acc.errors import CheckpointError, InvalidInput, TrainingFailed
from acc.models import Model, build
from acc.specs import DatasetSpec, TaskSpec, TrainJobSpec, parse
from acc.training import series
from acc.training.blocks import BlockRecorder
from acc.training.checkpoint import Checkpoint, Header, Snapshot, load
from acc.training.data import IndexStream, Resident, split_indices, to_unit
from acc.training.devices import DeviceManager
from acc.training.optim import NamedOptimizer, lr_at
from acc.training.plugin_set import PluginSet
from acc.training.protocols import (
    Alarm,
    CheckpointReason,
    Command,
    CommandResult,
    Control,
    NullControl,
    NullSink,
    PointBlock,
    Sink,
)
from acc.training.task import Batch, GatheredTargets
from acc.training.taskset import Entry, TaskSet, load_head

if TYPE_CHECKING:
    from acc.data import AccDataset

# Typed as Any: torch gives this module its attributes at run time.
_deterministic: Any = torch.utils.deterministic

BLOCK_SECONDS = 0.1
PAUSE_POLL_SECONDS = 0.25
DRAWS_AHEAD = 1024  # task draws of the sampled schedule made at once

Status = Literal["completed", "stopped", "drained"]


@dataclass(frozen=True)
class TrainResult:
    """How a run ended. losses: task key (and ``total``) -> last raw value; seconds: without pauses."""

    status: Status
    step: int
    global_step: int
    steps_per_second: float
    losses: dict[str, float]
    seconds: float


@dataclass
class _Group:
    """The enabled tasks of one dataset: they share its batch and its share of the forward pass."""

    resident: Resident
    stream: IndexStream
    members: list[tuple[int, Entry]]  # (place in the series, task)


@dataclass
class _Plan:
    """What a step does: groups that need the decoder first, so that one pass over their rows serves all."""

    groups: list[_Group]
    sharing: int
    size: int


class Trainer:
    """Trains a model on the tasks of a job. Make it, then ``run()`` it once.

    ``start_from``: the branch's head; weights, heads of tasks that stayed and optimizer state are taken over
    and the job begins at step 0. With the same seed also random states and data positions, so that 100 steps
    and then 100 more are the same as 200. ``resume_from``: a checkpoint of this very job; everything goes on
    exactly. The constructor raises InvalidInput or CheckpointError and leaves nothing behind.
    """

    def __init__(
        self,
        job: TrainJobSpec,
        datasets: Mapping[str, AccDataset],
        *,
        classes: PluginSet,
        sink: Sink | None = None,
        control: Control | None = None,
        start_from: str | Path | Checkpoint | None = None,
        resume_from: str | Path | Checkpoint | None = None,
        device: str | None = None,
    ) -> None:
        if start_from is not None and resume_from is not None:
            raise InvalidInput({"resume_from": "give start_from or resume_from, not both"})
        resumed = _checkpoint(resume_from)
        origin = resumed or _checkpoint(start_from)
        self.job, self.train, self.classes = job, job.train, classes
        self.sink: Sink = sink or NullSink()
        self.control: Control = control or NullControl()
        self.device = torch.device(DeviceManager().resolve(device or job.train.device))
        self.threads = self.train.threads or (resumed.header.threads if resumed else torch.get_num_threads())
        self.model: Model = build(job.model, classes.models)
        if origin is not None:
            load_model(self.model, origin)
        self.model.to(self.device).train()
        self.step = 0
        self.lr = self.train.lr
        self._start_global_step = 0
        self._datasets_spec: dict[str, DatasetSpec] = dict(job.datasets)
        self._offsets: dict[str, int] = {}
        self._rng: dict[str, Tensor] | None = None
        self._streams: dict[str, IndexStream] = {}
        self.tasks = TaskSet(classes, self.model, datasets, self.device)
        for spec in resumed.header.spec.tasks if resumed else job.tasks:
            self.tasks.attach(spec)
        self._require_trainable()
        self.optimizer = NamedOptimizer(self._named_parameters(), self.train, self.device)
        if origin is not None:
            self._take_over(origin, exactly=resumed is not None)
        self._recorder: BlockRecorder | None = None
        self._plans: list[_Plan] = []
        self._draw_bounds: list[float] = []
        self._draws: tuple[int, list[float]] = (-1, [])
        self._last: dict[str, float] = {}
        self._ran = False

    # --- running ------------------------------

    @property
    def global_step(self) -> int:
        """Updates made by the whole line of checkpoints."""
        return self._start_global_step + self.step

    def run(self) -> TrainResult:
        """Train until the steps are done, or until told to stop or drain; the caller's random state is kept.

        Raises TrainingFailed when a loss or a weight is no longer finite.
        """
        if self._ran:
            raise RuntimeError("a trainer runs once; make another with resume_from or start_from to go on")
        self._ran = True
        with rng.preserved(), _torch_settings(self.device, self.threads):
            if self._rng is None:
                rng.seed_all(self.train.seed)
            else:
                rng.restore(self._rng)
            self.model.train()
            self._replan()
            return self._loop()

    def _loop(self) -> TrainResult:
        train, control = self.train, self.control
        began = self._last_saved = time.perf_counter()
        self._paused_seconds = 0.0
        first = self.step
        status: Status = "completed"
        deadline = began  # the first step is fetched at once, so that the curve begins at once
        while self.step < train.steps:
            commands = control.due(self.step)
            if commands:
                ended = self._obey(commands)
                if ended is not None:
                    status = ended
                    break
            self._train_step()
            self.step += 1
            if time.perf_counter() >= deadline:
                self._fetch()
                deadline = time.perf_counter() + BLOCK_SECONDS
                self._autosave_by_time()
            if train.checkpoint_every_steps and self.step % train.checkpoint_every_steps == 0:
                self._autosave_by_steps()
        self._fetch()
        seconds = time.perf_counter() - began - self._paused_seconds
        reasons: dict[Status, CheckpointReason] = {
            "completed": "final",
            "stopped": "stopped",
            "drained": "drained",
        }
        self._save(reasons[status])
        return TrainResult(
            status=status,
            step=self.step,
            global_step=self.global_step,
            steps_per_second=(self.step - first) / seconds if seconds > 0 else 0.0,
            losses=dict(self._last),
            seconds=seconds,
        )

    def _train_step(self) -> None:
        drawn = self._draw() if self.train.schedule == "sampled" else None
        losses, factors = self._losses(self._plans[drawn or 0], scaled_only=drawn is not None)
        total = losses[0] * factors[0]
        for loss, factor in zip(losses[1:], factors[1:], strict=True):
            total = total + loss * factor
        lr = lr_at(self.lr, self.step, self.train)
        optimizer = self.optimizer
        optimizer.inner.zero_grad(set_to_none=True)
        total.backward()
        norm = None
        if self.train.grad_clip_norm is not None:
            norm = torch.nn.utils.clip_grad_norm_(optimizer.parameters, self.train.grad_clip_norm)
        optimizer.set_lr(lr)
        optimizer.inner.step()
        assert self._recorder is not None
        self._recorder.add([loss.detach() for loss in losses], factors, lr, drawn=drawn, norm=norm)

    def _losses(self, plan: _Plan, *, scaled_only: bool) -> tuple[list[Tensor], list[float]]:
        """Return the raw loss of each task of the plan, and the factor of each in the total."""
        indices = [group.stream.next() for group in plan.groups]
        images = [
            group.resident.images.index_select(0, index)
            for group, index in zip(plan.groups, indices, strict=True)
        ]
        x_BCHW = to_unit(images[0] if len(images) == 1 else torch.cat(images))
        sizes = [len(index) for index in indices]
        outputs = self.model(x_BCHW).split(sizes, share=plan.sharing)
        losses: list[Tensor] = [x_BCHW] * plan.size
        factors = [0.0] * plan.size
        for group, index, output, own in zip(plan.groups, indices, outputs, x_BCHW.split(sizes), strict=True):
            batch = Batch(own, GatheredTargets(group.resident.targets, index))
            for place, entry in group.members:
                losses[place] = entry.task.compute_loss(output, batch, entry.head)
                scale = entry.task.weight_scale(entry.age, self.train)
                # Of the sampled schedule the weight is the odds of being drawn, so it must not count twice.
                factors[place] = scale if scaled_only else scale * entry.spec.weight
                entry.age += 1
        return losses, factors

    def _draw(self) -> int:
        """Return the number of the task that this step trains; the draws depend on the seed alone."""
        number, within = divmod(self.global_step, DRAWS_AHEAD)
        if self._draws[0] != number:
            generator = np.random.default_rng(rng.seed_for(self.train.seed, "schedule", number))
            self._draws = number, generator.random(DRAWS_AHEAD).tolist()
        return bisect_right(self._draw_bounds, self._draws[1][within] * self._draw_bounds[-1])

    # --- what is planned, recorded, saved ------------------------------

    def _replan(self) -> None:
        """Work out what a step does from the tasks as they stand; begins a new block if its series change."""
        enabled = self.tasks.enabled
        if self.train.schedule == "joint":
            self._plans = [self._plan(list(enumerate(enabled)))]
        else:
            self._plans = [self._plan([(0, entry)]) for entry in enabled]
            self._draw_bounds = list(accumulate(entry.spec.weight for entry in enabled))
        keys = tuple(entry.spec.key for entry in enabled)
        if self._recorder is None or self._recorder.keys != keys:
            assert not self._recorder, "a block must be fetched before its series change"
            self._recorder = BlockRecorder(
                keys, start=self.step, grad_norm=self.train.grad_clip_norm is not None
            )

    def _plan(self, members: Sequence[tuple[int, Entry]]) -> _Plan:
        by_dataset: dict[str, list[tuple[int, Entry]]] = {}
        for place, entry in members:
            by_dataset.setdefault(entry.spec.dataset, []).append((place, entry))
        groups = [_Group(self.tasks.resident(key), self._stream(key), own) for key, own in by_dataset.items()]
        groups.sort(key=lambda group: not _needs_decoder(group))
        return _Plan(groups, sharing=sum(map(_needs_decoder, groups)), size=len(members))

    def _stream(self, key: str) -> IndexStream:
        if key not in self._streams:
            dataset = self.tasks.dataset(key)
            rows, _ = split_indices(dataset, seed=self.job.model.seed, val_fraction=self.train.val_fraction)
            self._streams[key] = IndexStream(
                rows,
                seed=self.train.seed,
                content_hash=dataset.content_hash,
                batch_size=self.train.batch_size,
                device=self.device,
                offset=self._offsets.get(key, 0),
            )
        return self._streams[key]

    def _fetch(self) -> None:
        """Hand the steps since the last block to the sink; raises TrainingFailed if a value is not finite."""
        if not self._recorder:
            return
        block, unsound = self._recorder.fetch()
        self.sink.on_block(block)
        self._remember(block)
        if unsound is not None:
            self._fail(*unsound)

    def _remember(self, block: PointBlock) -> None:
        for name, row in zip(block.series, block.values, strict=True):
            key = (
                name if name == series.TOTAL else (series.task_key(name) if name.startswith("raw/") else None)
            )
            values = row[~np.isnan(row)]
            if key is not None and len(values):
                self._last[key] = float(values[-1])

    def _fail(self, step: int, name: str) -> None:
        key = series.task_key(name)
        entry = self.tasks.entries.get(key) if key else None
        what = f"the loss of task '{entry.spec.key}' (weight {entry.spec.weight:g})" if entry else f"'{name}'"
        message = (
            f"{what} was no longer a finite number at step {step}, learning rate "
            f"{lr_at(self.lr, step, self.train):g}; the last checkpoint is kept. A lower learning rate "
            "or weight or a grad_clip_norm usually helps"
        )
        self.sink.on_alarm(Alarm(kind="nan", step=step, message=message, series=name))
        raise TrainingFailed(message, step=step, series=name)

    def _autosave_by_time(self) -> None:
        every = self.train.checkpoint_every_seconds
        if every and self.step < self.train.steps and time.perf_counter() - self._last_saved >= every:
            self._save("autosave")

    def _autosave_by_steps(self) -> None:
        if self.step < self.train.steps:
            self._fetch()
            self._save("autosave")

    def _save(self, reason: CheckpointReason) -> None:
        snapshot = self.snapshot()
        for name, tensor in snapshot.tensors.items():
            if (
                tensor.is_floating_point()
                and not name.startswith("rng.")
                and not torch.isfinite(tensor).all()
            ):
                self._fail(self.step - 1, name)
        self.sink.on_checkpoint(snapshot, reason)
        self._last_saved = time.perf_counter()

    def snapshot(self) -> Snapshot:
        """Return a detached copy of the full state, on the CPU."""
        held: dict[str, Tensor] = {
            f"model.{name}": tensor for name, tensor in self.model.state_dict().items()
        }
        held |= self.tasks.head_tensors()
        held |= {f"optim.{name}": tensor for name, tensor in self.optimizer.state().items()}
        held |= {f"rng.{name}": tensor for name, tensor in rng.capture().items()}
        tensors = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in held.items()}
        return Snapshot(step=self.step, header=self._header(), tensors=tensors)

    def _header(self) -> Header:
        spec = self.job.model_copy(update={"tasks": self.tasks.specs, "datasets": dict(self._datasets_spec)})
        names = [self.job.model.architecture, *(task.task_class for task in self.tasks.specs)]
        return Header(
            spec=spec,
            job_step=self.step,
            global_step=self.global_step,
            lr=self.lr,
            ages={key: entry.age for key, entry in self.tasks.entries.items()},
            offsets={**self._offsets, **{key: stream.offset for key, stream in self._streams.items()}},
            plugins=self.classes.sources(names),
            versions={
                "acc": acc.__version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            device=self.device.type,
            threads=self.threads,
        )

    def _take_over(self, origin: Checkpoint, *, exactly: bool) -> None:
        """Go on from ``origin``: heads, ages, optimizer; with the same seed random states and positions."""
        header = origin.header
        if exactly:
            self.step, self.lr = header.job_step, header.lr
            self._datasets_spec |= header.spec.datasets
        self._start_global_step = header.global_step - (header.job_step if exactly else 0)
        before = {task.key: task for task in header.spec.tasks}
        for key, entry in self.tasks.entries.items():
            known = before.get(key)
            if known is None or known.task_class != entry.spec.task_class:
                continue
            entry.age = header.ages.get(key, 0)
            if entry.head is not None:
                fits = load_head(entry.head, origin.part(f"head.{key}"))
                if exactly and not fits:
                    raise CheckpointError(
                        f"the checkpoint's head of task '{key}' does not fit the task's class as it is now"
                    )
        if header.spec.train.optimizer == self.train.optimizer:
            self.optimizer.load(origin.part("optim"))
        if exactly or header.spec.train.seed == self.train.seed:
            self._rng = origin.part("rng")
            self._offsets = dict(header.offsets)

    def _named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        for name, parameter in self.model.named_parameters():
            yield f"model.{name}", parameter
        for entry in self.tasks.entries.values():
            yield from entry.named_parameters()

    def _require_trainable(self) -> None:
        """Raise InvalidInput unless the tasks as they stand give a step something to do."""
        enabled = self.tasks.enabled
        if not enabled:
            raise InvalidInput({"tasks": "no task is enabled; a step needs at least one"})
        if self.train.schedule == "sampled" and not sum(entry.spec.weight for entry in enabled):
            raise InvalidInput(
                {
                    "weight": "the sampled schedule draws tasks by weight, and all enabled have weight 0; "
                    "give at least one a weight above 0"
                }
            )

    # --- commands ------------------------------

    def _obey(self, commands: Sequence[Command]) -> Status | None:
        """Apply commands between two steps; return how the run ends if one of them ends it."""
        self._fetch()  # the block before a change must not hold values from after it
        pending = list(commands)
        paused_at: float | None = None
        status: Status | None = None
        while (pending or paused_at is not None) and status is None:
            for command in pending:
                if command.kind == "pause":
                    paused_at = paused_at or time.perf_counter()
                elif command.kind == "resume" and paused_at is not None:
                    self._paused_seconds += time.perf_counter() - paused_at
                    paused_at = None
                elif command.kind in {"stop", "drain"} and status is None:
                    status = "stopped" if command.kind == "stop" else "drained"
                self.sink.on_command(self._apply(command))
            pending = []
            if paused_at is not None and status is None:
                self.control.wait(PAUSE_POLL_SECONDS)
                pending = list(self.control.due(self.step))
        if paused_at is not None:
            self._paused_seconds += time.perf_counter() - paused_at
        return status

    def _apply(self, command: Command) -> CommandResult:
        """Apply what changes the training; a command that does not fit is refused and changes nothing."""
        change = _CHANGES.get(command.kind)
        try:
            if change is not None:
                change(self, command.payload)
        except InvalidInput as error:
            field, messages = next(iter(error.fields.items()))
            return CommandResult(command, self.step, ok=False, message=messages[0], field=field)
        except Exception as error:  # a plugin's own code may raise anything; the run goes on without it
            message = f"{command.kind} was refused: {type(error).__name__}: {error}"
            return CommandResult(command, self.step, ok=False, message=message)
        return CommandResult(command, self.step, ok=True)

    def _set_weight(self, payload: Mapping[str, Any]) -> None:
        self._change_task(payload, "weight")

    def _set_enabled(self, payload: Mapping[str, Any]) -> None:
        self._change_task(payload, "enabled")

    def _change_task(self, payload: Mapping[str, Any], name: str) -> None:
        key = self.tasks.get(payload.get("task")).spec.key
        if name not in payload:
            raise InvalidInput({name: f"missing; say what the task's {name} is to be"})
        before = getattr(self.tasks.get(key).spec, name)
        self.tasks.change(key, **{name: payload[name]})
        try:
            self._require_trainable()
        except InvalidInput:
            self.tasks.change(key, **{name: before})
            raise
        self._replan()

    def _set_lr(self, payload: Mapping[str, Any]) -> None:
        fields = {**self.train.model_dump(), "lr": payload.get("lr")}
        self.lr = parse(type(self.train), fields).lr

    def _add_task(self, payload: Mapping[str, Any]) -> None:
        spec: TaskSpec = parse(TaskSpec, payload.get("task"))
        entry = self.tasks.attach(spec)
        try:
            self.tasks.resident(spec.dataset)
            self._stream(spec.dataset)
            if spec.dataset not in self._datasets_spec:
                self._datasets_spec[spec.dataset] = self.tasks.dataset(spec.dataset).spec(spec.dataset)
            self.optimizer.add(entry.named_parameters())
            self._replan()
        except BaseException:
            self._drop(spec.key)
            raise

    def _remove_task(self, payload: Mapping[str, Any]) -> None:
        key = self.tasks.get(payload.get("task")).spec.key
        if not [entry for entry in self.tasks.enabled if entry.spec.key != key]:
            raise InvalidInput(
                {"task": f"'{key}' is the only enabled task; add or enable another before it is removed"}
            )
        weights = [entry.spec.weight for entry in self.tasks.enabled if entry.spec.key != key]
        if self.train.schedule == "sampled" and not sum(weights):
            raise InvalidInput(
                {"task": f"'{key}' is the only enabled task with a weight; give another one first"}
            )
        self._drop(key)
        self._replan()

    def _drop(self, key: str) -> None:
        entry = self.tasks.detach(key)
        self.optimizer.remove(parameter for _, parameter in entry.named_parameters())


_CHANGES: dict[str, Callable[[Trainer, Mapping[str, Any]], None]] = {
    "set_weight": Trainer._set_weight,
    "set_enabled": Trainer._set_enabled,
    "set_lr": Trainer._set_lr,
    "add_task": Trainer._add_task,
    "remove_task": Trainer._remove_task,
}


def _needs_decoder(group: _Group) -> bool:
    return any(entry.task.needs_reconstruction for _, entry in group.members)


def _checkpoint(source: str | Path | Checkpoint | None) -> Checkpoint | None:
    return source if source is None or isinstance(source, Checkpoint) else load(source)


def load_model(model: Model, origin: Checkpoint) -> None:
    """Load the weights; raises CheckpointError, and changes nothing, if they are of another model."""
    state, own = origin.part("model"), model.state_dict()
    wrong = sorted(state.keys() ^ own.keys()) or sorted(
        name for name in own if own[name].shape != state[name].shape
    )
    if wrong:
        spec = origin.header.spec.model
        raise CheckpointError(
            f"the checkpoint is of another model ({spec.architecture}, latent_dim {spec.latent_dim}) than "
            f"this one ({model.spec.architecture}, latent_dim {model.spec.latent_dim}); "
            f"they differ first in '{wrong[0]}'"
        )
    model.load_state_dict(state)


@contextmanager
def _torch_settings(device: torch.device, threads: int) -> Iterator[None]:
    """Fix the number of threads and, on the CPU, use deterministic kernels; put all back afterwards."""
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        _deterministic.fill_uninitialized_memory,
    )
    try:
        torch.set_num_threads(threads)
        if device.type == "cpu":
            torch.use_deterministic_algorithms(True)
            _deterministic.fill_uninitialized_memory = False  # filling would only cost time
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1], warn_only=before[2])
        _deterministic.fill_uninitialized_memory = before[3]

"""The trainer: from a frozen specification to trained weights, steered and recorded on the way.

Nothing here waits for a database or a disk: a Sink takes what comes out, a Control says what is asked.
"""

from __future__ import annotations

import contextlib
import math
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

import acc
from acc import rng
from acc.errors import CheckpointError, InvalidInput, TrainingFailed
from acc.models import Model, build
from acc.specs import DatasetSpec, TrainJobSpec
from acc.training import passes, series
from acc.training.alarms import Watch
from acc.training.blocks import BlockRecorder
from acc.training.checkpoint import Checkpoint, Header, Snapshot, load
from acc.training.data import IndexStream, Indices, TrainingRows, split_indices
from acc.training.devices import DeviceManager
from acc.training.early import EarlyStop
from acc.training.optim import NamedOptimizer, lr_at
from acc.training.orders import SharedControl, heard_by_all
from acc.training.plan import Group, JointSchedule, Plan, SampledSchedule, Schedule
from acc.training.plugin_set import PluginSet
from acc.training.protocols import (
    Alarm,
    Baseline,
    CheckpointReason,
    Control,
    NullSink,
    PointBlock,
    Sink,
)
from acc.training.ranks import CHECK_STEPS, Ranks, sized
from acc.training.restore import load_head, load_model
from acc.training.settings import torch_settings
from acc.training.steering import Steering
from acc.training.step import Updates
from acc.training.task import JointTask
from acc.training.taskset import Entry, TaskSet

if TYPE_CHECKING:
    from acc.data import AccDataset

BLOCK_SECONDS = 0.1
MAX_SKIPPED_IN_A_ROW = 100
"""With ``on_nan='skip'``: so many steps without an update and the job fails after all."""

Status = Literal["completed", "stopped", "drained"]
_REASONS: dict[Status, CheckpointReason] = {
    "completed": "final",
    "stopped": "stopped",
    "drained": "drained",
}


@dataclass(frozen=True)
class TrainResult:
    """How a run ended. losses: task key (and ``total``) -> last raw value; seconds: without pauses.

    skipped: steps of the job whose update was left out (``TrainSpec.on_nan``). message: why it ended before its
    last step by itself (``TrainSpec.early_stop``). precision: what the passes were computed in.
    """

    status: Status
    step: int
    global_step: int
    steps_per_second: float
    losses: dict[str, float]
    seconds: float
    skipped: int = 0
    message: str = ""
    precision: str = "fp32"


class Trainer:
    """Trains a model on the tasks of a job. Make it, then ``run()`` it once.

    ``start_from``: the branch's head; weights, heads of tasks that stayed and optimizer state are taken over
    and the job begins at step 0. With the same seed also random states and data positions, so that 100 steps
    and then 100 more are the same as 200. ``resume_from``: a checkpoint of this very job; everything goes on
    exactly. ``ranks``: this process is one of several that train the job together, on the device that it has there
    (``acc.training.launch``); rank 0 alone asks ``control`` and tells ``sink``.
    The constructor raises InvalidInput or CheckpointError and leaves nothing behind.
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
        ranks: Ranks | None = None,
    ) -> None:
        if start_from is not None and resume_from is not None:
            raise InvalidInput({"resume_from": "give start_from or resume_from, not both"})
        resumed = _checkpoint(resume_from)
        origin = resumed or _checkpoint(start_from)
        job = sized(job, ranks)
        self.job, self.train, self.classes, self.ranks = job, job.train, classes, ranks
        self.sink: Sink = NullSink() if sink is None or (ranks is not None and not ranks.leads) else sink
        self.control: Control = heard_by_all(control, ranks)
        wanted = device or (str(ranks.device) if ranks is not None else job.train.device)
        self.device = torch.device(DeviceManager().resolve(wanted))
        passes.check(self.train, self.device)
        self.precision = passes.precision_on(self.device, self.train.precision)
        self.threads = self.train.threads or (resumed.header.threads if resumed else torch.get_num_threads())
        self.model: Model = build(job.model, classes.models)
        if origin is not None:
            load_model(self.model, origin)
        self.model.to(self.device).train()
        if self.train.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.step = 0
        self.lr = self.train.lr
        self._start_global_step = 0
        self._offsets: dict[str, int] = {}
        self._rng: dict[str, Tensor] | None = None
        self._rng_at_end: dict[str, Tensor] | None = None
        self._streams: dict[str, IndexStream] = {}
        self._rows: dict[str, Indices] = {}
        self.skipped = 0
        self._skipped_in_a_row = (-1, 0)  # the last skipped step, and how many led to it
        self.watch = Watch()
        self.tasks = TaskSet(classes, self.model, datasets, self.device)
        for spec in resumed.header.spec.tasks if resumed else job.tasks:
            self.tasks.attach(spec)
        self.require_trainable()
        self.early = EarlyStop(self.train, self.tasks.entries)
        self.optimizer = NamedOptimizer(self._named_parameters(), self.train, self.device)
        self.updates = Updates(self.model, self.train, self.optimizer, self.device, ranks)
        if origin is not None:
            self._take_over(origin, exactly=resumed is not None)
        self._schedule: Schedule
        self._recorder = BlockRecorder((), start=self.step)
        self._last: dict[str, float] = {}
        self._last_saved = 0.0
        self._ran = False
        for entry in self.tasks.enabled:
            self.measure_baseline(entry)

    # --- running ------------------------------

    @property
    def global_step(self) -> int:
        """Updates made by the whole line of checkpoints."""
        return self._start_global_step + self.step

    def run(self) -> TrainResult:
        """Train until the steps are done, or until told to stop or drain; the caller's random state is kept.

        Raises TrainingFailed when a weight is no longer finite or, unless such steps are to be skipped, a loss.
        """
        if self._ran:
            raise RuntimeError("a trainer runs once; make another with resume_from or start_from to go on")
        self._ran = True
        with rng.preserved(), torch_settings(self.device, self.threads), self.updates.installed():
            rng.seed_all(self.train.seed)
            if self._rng is not None:  # of a checkpoint; one made on the CPU has no state for a GPU
                rng.restore(self._rng, self.device)
            if self.ranks is not None:
                self.ranks.share_random_state()
            self.model.train()
            self.replan()
            try:
                result = self._loop()
                if isinstance(self.control, SharedControl):
                    self.control.finish()
                self._rng_at_end = rng.capture(self.device)
                return result
            except BaseException:
                with contextlib.suppress(Exception):
                    self.fetch()  # the steps made before the failure are points like any other
                raise

    def _loop(self) -> TrainResult:
        train, control, steering = self.train, self.control, Steering(self)
        began = self._last_saved = time.perf_counter()
        deadline = began  # the first step is fetched at once, so that the curve begins at once
        first = self.step
        status: Status = "completed"
        message = ""
        while self.step < train.steps:
            commands = control.due(self.step)
            if commands:
                ending = steering.obey(commands)
                if ending is not None:
                    status = ending
                    break
            self._train_step()
            if self.early.is_due(self.step):  # before a checkpoint of this step, so that it knows the outcome
                self.fetch()
                message = self.early.ended(self.step)
                if message:
                    break
            if time.perf_counter() >= deadline:
                self.fetch()
                self._autosave_by_time()
                deadline = time.perf_counter() + BLOCK_SECONDS
            if train.checkpoint_every_steps and self.step % train.checkpoint_every_steps == 0:
                self._autosave()
            if self.ranks is not None and self.step % CHECK_STEPS == 0:
                self._compare()
        self.fetch()
        self._tell(self.watch.end(self.tasks.entries))
        if self.ranks is not None:
            self._compare()
        seconds = time.perf_counter() - began - steering.paused_seconds
        self._save(_REASONS[status])
        return TrainResult(
            status=status,
            step=self.step,
            global_step=self.global_step,
            steps_per_second=(self.step - first) / seconds if seconds > 0 else 0.0,
            losses=dict(self._last),
            seconds=seconds,
            skipped=self.skipped,
            message=message,
            precision=self.precision,
        )

    def _train_step(self) -> None:
        plan, drawn = self._schedule.at(self.global_step)
        lr = lr_at(self.lr, self.step, self.train)
        made = self.updates.make(plan, lr, self.step, weighted=self._schedule.weighted)
        self._recorder.add(made.losses, made.factors, lr, drawn=drawn, norm=made.norm)
        self.step += 1

    # --- what a step does ------------------------------

    def require_trainable(self, *, without: str = "") -> None:
        """Raise InvalidInput unless the tasks (but for one) give a step something to do."""
        enabled = [entry for entry in self.tasks.enabled if entry.spec.key != without]
        if not enabled:
            raise InvalidInput({"tasks": "no task would be enabled; a step needs at least one"})
        if self.train.schedule == "sampled" and not sum(entry.spec.weight for entry in enabled):
            raise InvalidInput(
                {
                    "weight": "the sampled schedule draws tasks by weight, and all enabled would have weight 0; "
                    "give at least one a weight above 0"
                }
            )

    def replan(self) -> None:
        """Work out what a step does from the tasks as they stand; begins a new block if its series change."""
        enabled = self.tasks.enabled
        if self.train.schedule == "joint":
            self._schedule = JointSchedule(Plan(enabled, self._group))
        else:
            plans = [Plan([entry], self._group, seen=_seen_by(entry, enabled)) for entry in enabled]
            self._schedule = SampledSchedule(plans, [entry.spec.weight for entry in enabled], self.train.seed)
        keys = tuple(entry.spec.key for entry in enabled)
        if self._recorder.keys != keys:
            assert not self._recorder, "a block is fetched before its series change"
            self._recorder = BlockRecorder(keys, start=self.step)

    def _group(self, key: str, members: list[tuple[int, Entry]]) -> Group:
        if key not in self._streams:
            self._streams[key] = IndexStream(
                self._training_rows(key),
                seed=self.train.seed,
                content_hash=self.tasks.dataset(key).content_hash,
                batch_size=self.train.batch_size,
                device=self.device,
                offset=self._offsets.get(key, 0),
            )
        return Group(self.tasks.resident(key), self._streams[key], members)

    def _training_rows(self, key: str) -> Indices:
        if key not in self._rows:
            self._rows[key], _ = split_indices(
                self.tasks.dataset(key), seed=self.job.model.seed, val_fraction=self.train.val_fraction
            )
        return self._rows[key]

    def measure_baseline(self, entry: Entry) -> None:
        """Measure what the task's trivial predictor loses and tell the sink; no random state moves.

        A plugin that fails at it raises an alarm and trains all the same.
        """
        if self.ranks is not None and not self.ranks.leads:
            return  # rank 0 says it
        key = entry.spec.key
        rows = TrainingRows(self.tasks.resident(entry.spec.dataset), self._training_rows(entry.spec.dataset))
        try:
            with rng.preserved(), torch_settings(self.device, self.threads), torch.no_grad():
                found = entry.task.baseline_loss(rows)
            if found is not None and not (isinstance(found, Baseline) and math.isfinite(found.loss)):
                raise ValueError(
                    f"it returned {found!r}; it must return a Baseline with a finite loss, or None"
                )
        except Exception as error:  # a plugin's own code may raise anything
            message = (
                f"task '{key}' has no baseline: {entry.spec.task_class}.baseline_loss failed, "
                f"{type(error).__name__}: {error}. It trains without one; correct the plugin for the next job"
            )
            self.sink.on_alarm(
                Alarm(kind="baseline", step=self.step, message=message, series=series.raw(key))
            )
            return
        entry.baseline = found
        if found is not None:
            self.sink.on_baseline(key, found.loss, found.words, found.floor)

    def _named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        for name, parameter in self.model.named_parameters():
            yield f"model.{name}", parameter
        for entry in self.tasks.entries.values():
            yield from entry.named_parameters()

    # --- what comes out ------------------------------

    def fetch(self) -> None:
        """Hand the steps since the last block to the sink; raises TrainingFailed if a value is not finite."""
        if not self._recorder:
            return
        block, unsound = self._recorder.fetch()
        self.early.take(block)
        if self.ranks is not None and not self.ranks.leads:
            return  # rank 0 says it
        self.sink.on_block(block)
        self._remember(block)
        for step, name in unsound:
            if name == series.GRAD_NORM and self.updates.scaler is not None:
                self._count_skipped(step, name, expected=True)
            elif self.train.on_nan == "stop":
                self._fail(step, name)
            else:
                self._count_skipped(step, name)
        self._tell(self.watch.look(block, self.tasks.entries))

    def _tell(self, alarms: Iterable[Alarm]) -> None:
        for alarm in alarms:
            self.sink.on_alarm(alarm)

    def _remember(self, block: PointBlock) -> None:
        for name, row in zip(block.series, block.values, strict=True):
            values = row[~np.isnan(row)]
            if len(values) and name == series.TOTAL:
                self._last[name] = float(values[-1])
            elif len(values) and name.startswith(series.raw("")):
                self._last[series.task_key(name) or name] = float(values[-1])

    def _count_skipped(self, step: int, name: str, *, expected: bool = False) -> None:
        """Count a step that was left out; raise an alarm at the first, the tenth, the hundredth and so on.

        expected: fp16 tries a smaller loss scale now and then, which is no alarm.
        """
        self.skipped += 1
        last, row = self._skipped_in_a_row
        self._skipped_in_a_row = (step, row + 1 if step == last + 1 else 1)
        if self._skipped_in_a_row[1] >= MAX_SKIPPED_IN_A_ROW:
            self._fail(step, name, f"; so it was for {MAX_SKIPPED_IN_A_ROW} steps in a row")
        if not expected and math.log10(self.skipped).is_integer():
            message = (
                f"{self._unsound(step, name)}; its update was skipped, {self.skipped} of this job so far. "
                "A lower learning rate or weight or a grad_clip_norm usually helps"
            )
            self.sink.on_alarm(Alarm(kind="nan", step=step, message=message, series=name))

    def _unsound(self, step: int, name: str) -> str:
        key = series.task_key(name)
        entry = self.tasks.entries.get(key) if key else None
        what = f"the loss of task '{entry.spec.key}' (weight {entry.spec.weight:g})" if entry else f"'{name}'"
        rate = lr_at(self.lr, step, self.train)
        return f"{what} was no longer a finite number at step {step}, learning rate {rate:g}"

    def _fail(self, step: int, name: str, more: str = "") -> None:
        message = (
            f"{self._unsound(step, name)}{more}; the last checkpoint is kept. A lower learning rate "
            "or weight or a grad_clip_norm usually helps"
        )
        self.sink.on_alarm(Alarm(kind="nan", step=step, message=message, series=name))
        raise TrainingFailed(message, step=step, series=name)

    def _autosave_by_time(self) -> None:
        every = self.train.checkpoint_every_seconds
        if every and time.perf_counter() - self._last_saved >= every:
            self._autosave()

    def _autosave(self) -> None:
        if self.step < self.train.steps:  # the last step has its own checkpoint
            self.fetch()
            self._save("autosave")

    def _compare(self) -> None:
        """Raise RanksDiffer unless all ranks hold the same weights and random states."""
        assert self.ranks is not None
        state = {**self.model.state_dict(), **self.tasks.head_tensors()}
        self.ranks.compare(state, self.step)

    def _save(self, reason: CheckpointReason) -> None:
        if self.ranks is not None and not self.ranks.leads:
            return
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
        held |= {f"scaler.{name}": tensor for name, tensor in self.updates.state().items()}
        random = self._rng_at_end or rng.capture(self.device)  # the caller has its own again after the end
        held |= {f"rng.{name}": tensor for name, tensor in random.items()}
        tensors = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in held.items()}
        return Snapshot(step=self.step, header=self._header(), tensors=tensors)

    def _header(self) -> Header:
        spec = self.job.model_copy(update={"tasks": self.tasks.specs, "datasets": self._dataset_specs()})
        names = [self.job.model.architecture, *(task.task_class for task in self.tasks.specs)]
        return Header(
            spec=spec,
            job_step=self.step,
            global_step=self.global_step,
            lr=self.lr,
            skipped=self.skipped,
            ages={key: entry.age for key, entry in self.tasks.entries.items()},
            offsets={**self._offsets, **{key: stream.offset for key, stream in self._streams.items()}},
            plugins=self.classes.sources(names),
            versions={
                "acc": acc.__version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            early_stop=self.early.state(),
            precision=self.precision,
            device=self.device.type,
            threads=self.threads,
        )

    def _dataset_specs(self) -> dict[str, DatasetSpec]:
        """Return the job's datasets, with those that came with a task added on the way."""
        added = {task.dataset for task in self.tasks.specs} - self.job.datasets.keys()
        return {**self.job.datasets, **{key: self.tasks.dataset(key).spec(key) for key in sorted(added)}}

    def _take_over(self, origin: Checkpoint, *, exactly: bool) -> None:
        """Go on from ``origin``: heads, ages, optimizer; with the same seed random states and positions."""
        header = origin.header
        if exactly:
            self.step, self.lr, self.skipped = header.job_step, header.lr, header.skipped
            self.early.load(header.early_stop)
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
        self.updates.load(origin.part("scaler"))
        if exactly or header.spec.train.seed == self.train.seed:
            self._rng = origin.part("rng")
            self._offsets = dict(header.offsets)


def _checkpoint(source: str | Path | Checkpoint | None) -> Checkpoint | None:
    return source if source is None or isinstance(source, Checkpoint) else load(source)


def _seen_by(entry: Entry, enabled: Sequence[Entry]) -> list[Entry]:
    """Return the tasks that a task looks at beside its own batch."""
    return [other for other in enabled if other is not entry] if isinstance(entry.task, JointTask) else []

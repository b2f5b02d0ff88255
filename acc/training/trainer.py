"""The trainer: from a frozen specification to trained weights, steered and recorded on the way.

Nothing here waits for a database or a disk: a Sink takes what comes out, a Control says what is asked.
"""

from __future__ import annotations

import contextlib
import math
import platform
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

import acc
from acc import rng
from acc.errors import CheckpointError, InvalidInput, PluginFailed, TrainingFailed
from acc.models import Model, build
from acc.specs import DatasetSpec, TaskSpec, TrainJobSpec
from acc.text import in_words, is_out_of_memory
from acc.training import passes
from acc.training.checkpoints.extra_state import Holdings
from acc.training.checkpoints.files import Checkpoint, Header, Snapshot, load
from acc.training.checkpoints.proof import WRITE, prove
from acc.training.checkpoints.restore import load_model
from acc.training.data import IndexStream, Indices, TrainingRows, split_indices
from acc.training.devices import DeviceManager
from acc.training.failures import TaskFailed
from acc.training.losses import series
from acc.training.losses.alarms import Watch
from acc.training.losses.early_stop import EarlyStop
from acc.training.losses.recorder import BlockRecorder
from acc.training.optim import NamedOptimizer, lr_at
from acc.training.plan import Group, JointSchedule, Plan, SampledSchedule, Schedule, where_of
from acc.training.plugin_set import PluginSet
from acc.training.protocols import (
    TASK_OFF,
    Alarm,
    Baseline,
    CheckpointReason,
    Control,
    NullSink,
    PointBlock,
    Sink,
)
from acc.training.ranks.control import SharedControl, heard_by_all
from acc.training.ranks.group import CHECK_STEPS, Ranks, sized
from acc.training.settings import torch_settings
from acc.training.steering import Steering
from acc.training.step import GRAD_NORM_STEPS, Updates
from acc.training.task import JointTask
from acc.training.taskset import Entry, TaskSet

if TYPE_CHECKING:
    from acc.data import AccDataset

BLOCK_SECONDS = 0.1
TWIN_ROWS = 64
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
    (``acc.training.ranks.join``); rank 0 alone asks ``control`` and tells ``sink``. ``proof``: whether the run is to
    prove, right after its first step, that it can be taken up again (``acc.training.checkpoints.proof``). ``like``: a
    trainer on the same datasets, whose copies on the device are used.
    The constructor raises InvalidInput or CheckpointError and leaves nothing behind.
    """

    harmless: frozenset[str] = frozenset()
    """What no checkpoint keeps, though the proof went on equally without it, or an alarm has told it."""

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
        proof: bool = True,
        like: Trainer | None = None,
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
        self.unproven = proof
        self.datasets = datasets
        self.origin = {"start_from": None if resumed else origin, "resume_from": resumed}
        self.model: Model = build(job.model, classes.models)
        self.model.to(self.device).train()
        if self.train.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.holdings = Holdings(self.model)
        if origin is not None:
            load_model(self.model, origin, self.holdings)
        self.step, self._start_global_step = 0, 0
        self.lr = self.train.lr
        self._offsets: dict[str, int] = {}
        self._rng: dict[str, Tensor] | None = None
        self._rng_at_end: dict[str, Tensor] | None = None
        self._streams: dict[str, IndexStream] = {}
        self._rows: dict[str, Indices] = like._rows if like else {}
        self.skipped = 0
        self._skipped_in_a_row = (-1, 0)  # the last skipped step, and how many led to it
        self.watch = Watch()
        self._bad: list[Tensor] = []  # of the last steps: which losses are no finite numbers
        residents = like.tasks.residents if like else None
        self.tasks: TaskSet = TaskSet(classes, self.model, datasets, self.device, residents)
        for spec in resumed.header.spec.tasks if resumed else job.tasks:
            self.tasks.attach(spec).added = resumed is not None and spec.key in resumed.header.added
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
        if like is None:
            for entry in self.tasks.enabled:
                self.measure_baseline(entry)

    # --- running ------------------------------

    @property
    def global_step(self) -> int:
        """Updates made by the whole line of checkpoints."""
        return self._start_global_step + self.step

    def run(self) -> TrainResult:
        """Train until the steps are done, or until told to stop or drain; the caller's random state is kept.

        Raises TrainingFailed when a weight is no longer finite or, unless such steps are to be skipped, a loss, and
        PluginFailed when a task or the model fails, or cannot be taken up again.
        """
        if self._ran:
            raise RuntimeError("a trainer runs once; make another with resume_from or start_from to go on")
        self._ran = True
        with self.ready():
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

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        """Within, steps can be made: random states and torch's settings are the run's; afterwards the caller's."""
        with rng.preserved(), torch_settings(self.device, self.threads), self.updates.installed():
            rng.seed_all(self.train.seed)
            if self._rng is not None:  # of a checkpoint; one made on the CPU has no state for a GPU
                rng.restore(self._rng, self.device)
            if self.ranks is not None:
                self.ranks.share_random_state()
            self.model.train()
            self.replan(finite=self.train.on_nan == "stop")
            yield

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
            self.make_step()
            if self.early.is_due(self.step):  # before a checkpoint of this step, so that it knows the outcome
                self.fetch()
                message = self.early.ended(self.step)
                if message:
                    break
            if time.perf_counter() >= deadline:
                self.fetch()
                self._autosave_by_time()
                deadline = time.perf_counter() + BLOCK_SECONDS
            if self.unproven:
                steering.paused_seconds += self._prove()
            if train.checkpoint_every_steps and self.step % train.checkpoint_every_steps == 0:
                self._autosave()
            if self.ranks is not None and self.step % CHECK_STEPS == 0:
                self._compare()
        self._end_what_failed()
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

    def make_step(self) -> list[Tensor]:
        """Make one step and return its raw losses; a task that fails is switched off, or ends the run."""
        lr = lr_at(self.lr, self.step, self.train)
        while True:
            plan, drawn = self._schedule.at(self.global_step)
            try:
                made = self.updates.make(plan, lr, self.step, weighted=self._schedule.weighted)
                break
            except TaskFailed as failed:
                self._switch_off({failed.key: f"{failed} at step {self.step}"}, failed)
            except PluginFailed as failed:
                raise PluginFailed(f"{failed} at step {self.step}") from failed
        self._recorder.add(made.losses, made.factors, lr, drawn=drawn, norm=made.norm)
        self.step += 1
        if self.updates.survives:
            bad = torch.stack(made.losses).isfinite().logical_not()
            keys = len(self._recorder.keys)
            if drawn is not None:
                bad = torch.nn.functional.pad(bad, (drawn, keys - drawn - 1))
            self._bad.append(bad)
            if self.device.type == "cpu" or self.step % GRAD_NORM_STEPS == 0:
                self._end_what_failed()
        return made.losses

    # --- what a task that fails does ------------------------------

    def _may_fail(self, entry: Entry) -> bool:
        """Return whether the job goes on without this task if it fails."""
        policy = self.train.on_task_error
        return policy == "off" or (policy == "auto" and entry.added)

    def _switch_off(self, failed: Mapping[str, str], cause: Exception | None = None) -> None:
        """Switch tasks off that failed (key -> how), with alarms; raises PluginFailed if that is to end the run."""
        for key, what in failed.items():
            if not self._may_fail(self.tasks.get(key)):
                raise PluginFailed(what) from cause
        try:
            self.require_trainable(without=failed)
        except InvalidInput as error:
            they = "It" if len(failed) == 1 else "They"
            what = "; ".join(failed.values())
            raise PluginFailed(f"{what}. {they} cannot be switched off: {error}") from cause
        self.fetch()
        for key in failed:
            self.tasks.change(key, enabled=False)
            self.tasks.get(key).tried = False
        self.replan()
        self.watch.restart()
        self.early.restart()
        for key, what in failed.items():
            message = f"{what}. It was switched off, and the job goes on without it"
            self.sink.on_alarm(Alarm(TASK_OFF, self.step, message, series.raw(key)))

    def _end_what_failed(self) -> None:
        """Switch off tasks whose loss was no finite number in the steps since the last look; asks the device."""
        if not self._bad:
            return
        bad = torch.stack(self._bad).cpu()
        first = self.step - len(bad)
        self._bad.clear()
        failed = {}
        for place, key in enumerate(self._recorder.keys if bad.any() else ()):
            entry = self.tasks.get(key)
            if bad[:, place].any() and self._may_fail(entry):
                step = first + int(bad[:, place].to(torch.int8).argmax())
                failed[key] = (
                    f"task '{key}': {where_of(entry)} returned what is no finite number at step {step}; no update "
                    "was made with such a loss"
                )
        if failed:
            self._switch_off(failed)

    def _prove(self) -> float:
        """Prove that the run can be taken up again, on rank 0 for all; return the seconds that it took."""
        self.unproven = False
        self._end_what_failed()  # what is off is not proven
        for entry in self.tasks.enabled:
            entry.tried = True
        seconds = self.judged(lambda: prove(self))
        self.origin = {}  # what it began from need not be kept any longer
        return seconds

    def twin(self, *, start_from: Checkpoint | None = None, resume_from: Checkpoint | None = None) -> Trainer:
        """Return a trainer of the same job, made anew, that shares nothing with this one but datasets and classes.

        It trains every task in every step, on small batches, in one process, and compiles nothing. What a plugin
        keeps in its class or its module is of both.
        """
        changes = {
            "compile": "off",
            "accumulate": 1,
            "ranks": 1,
            "schedule": "joint",
            "early_stop": "",
            "on_task_error": "end",
            "batch_size": min(self.train.batch_size, TWIN_ROWS),
            "threads": self.threads,
        }
        job = self.job.model_copy(update={"train": self.train.model_copy(update=changes)})
        return Trainer(
            job,
            self.datasets,
            classes=self.classes,
            device=str(self.device),
            proof=False,
            like=self,
            start_from=start_from,
            resume_from=resume_from,
        )

    def join(self, spec: TaskSpec) -> Entry:
        """Attach a task to the running job; raises InvalidInput and changes nothing if it does not fit."""
        entry = self.tasks.attach(spec)
        entry.added = True
        try:
            self.require_trainable()
            self.optimizer.add(entry.named_parameters())
            self.replan()
        except BaseException:
            self.drop(spec.key)
            raise
        return entry

    def take_tasks(self, specs: Sequence[TaskSpec]) -> None:
        """Bring the tasks to ``specs``: those that are not among them go, new ones join, all are on or off as there."""
        wanted = {spec.key: spec for spec in specs}
        for key, entry in list(self.tasks.entries.items()):
            spec = wanted.get(key)
            if spec is None or entry.spec != _steered(spec, entry.spec):
                self.drop(key)
            else:
                self.tasks.change(key, weight=spec.weight, enabled=spec.enabled)
        new = [spec for spec in specs if spec.key not in self.tasks.entries]
        for spec in sorted(new, key=lambda spec: not spec.enabled):  # whoever joins finds a task that is on
            self.join(spec)

    def drop(self, key: str) -> None:
        """Take a task away, with what the optimizer knows of it."""
        entry = self.tasks.detach(key)
        self.optimizer.remove(parameter for _, parameter in entry.named_parameters())

    def judged(self, judge: Callable[[], None]) -> float:
        """Have rank 0 judge, and raise what it refuses on all ranks; return the seconds that it took."""
        began = time.perf_counter()
        refused = ""
        if self.ranks is None or self.ranks.leads:
            try:
                judge()
            except Exception as error:
                if isinstance(error, torch.OutOfMemoryError) or is_out_of_memory(error):
                    message = "there was no memory to prove that this job can be taken up again; it goes on unproven"
                    self.sink.on_alarm(Alarm("proof", self.step, message))
                elif self.ranks is None:
                    raise
                else:
                    refused = in_words(error)  # whatever it is, the other ranks wait for it
        if self.ranks is not None and (told := self.ranks.tell(refused)):
            raise PluginFailed(told)
        return time.perf_counter() - began

    # --- what a step does ------------------------------

    def require_trainable(self, *, without: Collection[str] = ()) -> None:
        """Raise InvalidInput unless the tasks (but for those of some keys) give a step something to do."""
        enabled = [entry for entry in self.tasks.enabled if entry.spec.key not in without]
        if not enabled:
            raise InvalidInput({"tasks": "no task would be enabled; a step needs at least one"})
        if self.train.schedule == "sampled" and not sum(entry.spec.weight for entry in enabled):
            raise InvalidInput(
                {
                    "weight": "the sampled schedule draws tasks by weight, and all enabled would have weight 0; "
                    "give at least one a weight above 0"
                }
            )

    def replan(self, *, finite: bool = False) -> None:
        """Work out what a step does from the tasks as they stand; begins a new block if its series change.

        finite: the first losses must be finite.
        """
        enabled = self.tasks.enabled
        self._bad.clear()
        self.updates.survives = any(map(self._may_fail, enabled))
        if self.train.on_nan == "stop":
            self.optimizer.skip_nothing()
        if self.train.schedule == "joint":
            self._schedule = JointSchedule(Plan(enabled, self._group, finite=finite))
        else:
            plans = [
                Plan([entry], self._group, seen=_seen_by(entry, enabled), finite=finite) for entry in enabled
            ]
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
                f"{in_words(error)}. It trains without one; correct the plugin for the next job"
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
            entry = self.tasks.entries.get(series.task_key(name) or "")
            failed = self.updates.survives and entry is not None and self._may_fail(entry)
            if failed or (name == series.GRAD_NORM and self.updates.scaler is not None):
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
        here = {series.task_key(name) or name for name in block.series}
        self._last = {key: value for key, value in self._last.items() if key in here}
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
        self._tell_left_out()
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
        state = {"model": self.holdings.state("state.model", held)}
        for entry in self.tasks.entries.values():
            state |= entry.state(held)
        held |= {f"optim.{name}": tensor for name, tensor in self.optimizer.state().items()}
        held |= {f"scaler.{name}": tensor for name, tensor in self.updates.state().items()}
        random = self._rng_at_end or rng.capture(self.device)  # the caller has its own again after the end
        held |= {f"rng.{name}": tensor for name, tensor in random.items()}
        tensors = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in held.items()}
        header = self._header({name: kept for name, kept in state.items() if kept})
        return Snapshot(step=self.step, header=header, tensors=tensors)

    def described(self) -> dict[str, Any]:
        """Return all that can be seen of model and tasks beside weights, by words that say where it is."""
        return {
            f"{before}'{path}'{after}": value
            for before, holdings, after in self._all_holdings()
            for path, value in holdings.described().items()
        }

    def left_out(self) -> frozenset[str]:
        """Return what the last snapshot found changed and could not keep, in the words of ``described``."""
        return frozenset(
            f"{before}'{path}'{after}"
            for before, holdings, after in self._all_holdings()
            for path in holdings.left_out
        )

    def _tell_left_out(self) -> None:
        """Raise an alarm, once, for what a checkpoint could not keep and the proof has not seen."""
        lost = sorted(self.left_out() - self.harmless)
        if lost:
            self.harmless |= self.left_out()
            more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
            message = (
                f"{lost[0]}{more} is of a kind that no checkpoint keeps, so that a job that is taken up again would "
                f"go on without it. {WRITE}"
            )
            self.sink.on_alarm(Alarm("proof", self.step, message))

    def _all_holdings(self) -> Iterator[tuple[str, Holdings, str]]:
        yield "the model's ", self.holdings, ""
        for key, entry in self.tasks.entries.items():
            yield "the attribute ", entry.holdings, f" of task '{key}'"
            if entry.head_holdings is not None:
                yield "the attribute ", entry.head_holdings, f" of the head of task '{key}'"

    def _header(self, state: dict[str, dict[str, Any]]) -> Header:
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
            state=state,
            added=tuple(key for key, entry in self.tasks.entries.items() if entry.added),
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
            with rng.preserved():
                self.tasks.awaken(key, origin)
            wrong = entry.load(origin, self.device)
            if exactly and wrong:
                raise CheckpointError(wrong)
        load_model(self.model, origin, self.holdings)
        if header.spec.train.optimizer == self.train.optimizer:
            self.optimizer.load(origin.part("optim"))
        self.updates.load(origin.part("scaler"))
        if exactly or header.spec.train.seed == self.train.seed:
            self._rng = origin.part("rng")
            self._offsets = dict(header.offsets)


def _checkpoint(source: str | Path | Checkpoint | None) -> Checkpoint | None:
    return source if source is None or isinstance(source, Checkpoint) else load(source)


def _steered(spec: TaskSpec, now: TaskSpec) -> TaskSpec:
    """Return ``spec`` with what commands change as it is in ``now``."""
    return spec.model_copy(update={"weight": now.weight, "enabled": now.enabled})


def _seen_by(entry: Entry, enabled: Sequence[Entry]) -> list[Entry]:
    """Return the tasks that a task looks at beside its own batch."""
    return [other for other in enabled if other is not entry] if isinstance(entry.task, JointTask) else []

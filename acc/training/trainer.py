"""The trainer: from a frozen specification to trained weights, steered and recorded on the way.

Nothing here waits for a database or a disk: a Sink takes what comes out, a Control says what is asked.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from acc.errors import InvalidInput, PluginFailed, TrainingFailed
from acc.models import Model
from acc.specs import TrainJobSpec
from acc.training.baselines import measure_baseline
from acc.training.checkpoints.files import Checkpoint, Snapshot
from acc.training.failures import TaskFailed, loss_method
from acc.training.losses import series
from acc.training.losses.alarms import Watch
from acc.training.losses.recorder import BLOCK_SECONDS, QUIET_SECONDS, BlockRecorder
from acc.training.plugin_set import PluginSet
from acc.training.proof import WRITE, on_rank_0, prove
from acc.training.protocols import TASK_OFF, Alarm, CheckpointReason, Control, NullSink, PointBlock, Sink
from acc.training.ranks.control import SharedControl, shared_control
from acc.training.ranks.group import CHECK_STEPS, Ranks
from acc.training.steering import Steering
from acc.training.step import GRAD_NORM_STEPS, StepResult
from acc.training.train_state import TrainState

if TYPE_CHECKING:
    from acc.data import AccDataset

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
    last step by itself (``TrainSpec.early_stop``). precision: what the passes were computed in. data: dataset key ->
    how its images were held and which of its rows were trained on, in words.
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
    data: dict[str, str] = field(default_factory=dict)


class Trainer:
    """Trains a model on the tasks of a job. Make it, then ``run()`` it once.

    ``start_from``: the branch's head; weights, heads of tasks that stayed and optimizer state are taken over
    and the job begins at step 0. With the same seed also random states and data positions, so that 100 steps
    and then 100 more are the same as 200. ``resume_from``: a checkpoint of this very job; everything goes on
    exactly. ``ranks``: this process is one of several that train the job together, on the device that it has there
    (``acc.training.ranks.join``); rank 0 alone asks ``control`` and tells ``sink``. ``proof``: whether the run is to
    prove, right after its first step, that it can be taken up again (``acc.training.proof``). ``collapsed``: of a
    job that is resumed, key of a task -> the step at which its collapse was told that still stands.
    ``state``: all that a step changes; ``model``, ``tasks``, ``step`` and the like are its own.
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
        proof: bool = True,
        collapsed: Mapping[str, int] | None = None,
    ) -> None:
        self.state = TrainState(
            job,
            datasets,
            classes=classes,
            start_from=start_from,
            resume_from=resume_from,
            device=device,
            ranks=ranks,
        )
        self.train, self.ranks, self.tasks = self.state.train, ranks, self.state.tasks
        self.sink: Sink = sink if sink is not None and self.state.leads else NullSink()
        self.control: Control = shared_control(control, ranks)
        self.unproven = proof
        self.watch = Watch(collapsed)
        self._recorder = BlockRecorder((), start=self.step)
        self._bad: list[Tensor] = []  # of the last steps: which losses are no finite numbers
        self._skipped_in_a_row = (-1, 0)  # the last skipped step, and how many led to it
        self._last: dict[str, float] = {}
        self._last_saved = 0.0
        self._ran = False
        for entry in self.tasks.enabled:
            measure_baseline(self.state, entry, self.sink)

    @property
    def model(self) -> Model:
        """The model, with the weights of the moment."""
        return self.state.model

    @property
    def device(self) -> torch.device:
        return self.state.device

    @property
    def step(self) -> int:
        """Updates made by the job."""
        return self.state.step

    @property
    def global_step(self) -> int:
        """Updates made by the whole line of checkpoints."""
        return self.state.global_step

    @property
    def skipped(self) -> int:
        """Updates of the job that were left out, as not finite."""
        return self.state.skipped

    def snapshot(self) -> Snapshot:
        """Return a detached copy of the full state, on the CPU."""
        return self.state.snapshot()

    # --- running ------------------------------

    def run(self) -> TrainResult:
        """Train until the steps are done, or until told to stop or drain; the caller's random state is kept.

        Raises TrainingFailed when a weight is no longer finite or, unless such steps are to be skipped, a loss, and
        PluginFailed when a task or the model fails, or cannot be taken up again.
        """
        if self._ran:
            raise RuntimeError("a trainer runs once; make another with resume_from or start_from to go on")
        self._ran = True
        with self.state.ready():
            self.begin_block()
            try:
                result = self._loop()
                if isinstance(self.control, SharedControl):
                    self.control.finish()
                self.state.end()
                return result
            except BaseException:
                with contextlib.suppress(Exception):
                    self.fetch()  # the steps made before the failure are points like any other
                raise

    def _loop(self) -> TrainResult:
        state, train, control = self.state, self.train, self.control
        steering = Steering(state, self.sink, control)
        began = self._last_saved = time.perf_counter()
        deadline = began  # the first step is fetched at once, so that the curve begins at once
        stepped = began
        first = state.step
        status: Status = "completed"
        message = ""
        while state.step < train.steps:
            commands = control.due(state.step)
            if commands:
                self.fetch()  # the points before a change are out before it is answered
                ending = steering.obey(commands)
                if steering.changed:
                    steering.changed = False
                    self._begin_anew()
                self.begin_block()  # also after a change that was refused on its way
                if ending is not None:
                    status = ending
                    break
            self.make_step()
            # Before a checkpoint of this step, so that it knows the outcome.
            if state.is_due:
                self.fetch()
                message = state.look_back()
                if message:
                    break
            now = time.perf_counter()
            if now >= deadline or now - stepped >= QUIET_SECONDS:
                self.fetch()
                self._autosave_by_time()
                now = time.perf_counter()
                deadline = now + BLOCK_SECONDS
            stepped = now
            if self.unproven:
                steering.paused_seconds += self._prove()
            if train.checkpoint_every_steps and state.step % train.checkpoint_every_steps == 0:
                self._autosave()
            if self.ranks is not None and state.step % CHECK_STEPS == 0:
                state.compare_ranks()
        self._end_what_failed()
        self.fetch()
        self._tell(self.watch.end(self.tasks.entries))
        if self.ranks is not None:
            state.compare_ranks()
        seconds = time.perf_counter() - began - steering.paused_seconds
        self._save(_REASONS[status])
        return TrainResult(
            status=status,
            step=state.step,
            global_step=state.global_step,
            steps_per_second=(state.step - first) / seconds if seconds > 0 else 0.0,
            losses=dict(self._last),
            seconds=seconds,
            skipped=state.skipped,
            message=message,
            precision=state.precision,
            data=state.data_in_words(),
        )

    def make_step(self) -> None:
        """Make one step and record it; a task that fails is switched off, or ends the run."""
        while True:
            try:
                result = self.state.make_step()
                break
            except TaskFailed as failed:
                self._switch_off({failed.key: str(failed)}, failed)
        self._recorder.add(result)
        if self.state.updates.survives:
            self._note_bad(result)

    def _prove(self) -> float:
        """Prove that the run can be taken up again, on rank 0 for all; return the seconds that it took."""
        self.unproven = False
        self._end_what_failed()  # what is off is not proven
        for entry in self.tasks.enabled:
            entry.tried = True
        seconds = on_rank_0(self.state, self.sink, lambda: prove(self.state))
        self.state.origin = {}  # what it began from need not be kept any longer
        for key, why in self.state.unmeasured.items():
            told = f"{why}. It trains all the same, and no checkpoint will have its metrics"
            self.sink.on_alarm(Alarm("proof", self.state.step, told, series.raw(key)))
        self.state.unmeasured.clear()
        return seconds

    def begin_block(self) -> None:
        """Begin a new block of points if the series have changed; the last one must be fetched."""
        keys = tuple(entry.spec.key for entry in self.tasks.enabled)
        if self._recorder.keys != keys:
            assert not self._recorder, "a block is fetched before its series change"
            self._recorder = BlockRecorder(keys, start=self.step)
            self._bad.clear()

    def _begin_anew(self) -> None:
        """Go on after a change of what is trained: what went before is no measure for what follows."""
        self._bad.clear()
        self.begin_block()
        self.watch.restart()
        self.state.forget_losses()

    # --- what a task that fails does ------------------------------

    def _note_bad(self, result: StepResult) -> None:
        """Note on the device which losses are no finite numbers; now and then look what has failed."""
        bad = torch.stack(result.losses).isfinite().logical_not()
        if result.drawn is not None:
            after = len(self._recorder.keys) - result.drawn - 1
            bad = torch.nn.functional.pad(bad, (result.drawn, after))
        for name, part in result.parts:  # one that a group alone learns from is in no loss
            key = series.owner(name)
            assert key is not None
            bad[self._recorder.keys.index(key)] |= part.isfinite().logical_not()
        self._bad.append(bad)
        if self.state.device.type == "cpu" or self.state.step % GRAD_NORM_STEPS == 0:
            self._end_what_failed()

    def _switch_off(self, failed: Mapping[str, str], cause: Exception | None = None) -> None:
        """Switch tasks off that failed (key -> how), with alarms; raises PluginFailed if that is to end the run."""
        for key, what in failed.items():
            if not self.state.may_fail(self.tasks.get(key)):
                raise PluginFailed(what) from cause
        try:
            self.state.require_trainable(without=failed)
        except InvalidInput as error:
            they = "It" if len(failed) == 1 else "They"
            what = "; ".join(failed.values())
            raise PluginFailed(f"{what}. {they} cannot be switched off: {error}") from cause
        self.fetch()
        for key in failed:
            self.tasks.change(key, enabled=False)
            self.tasks.get(key).tried = False
        self.state.replan()
        self._begin_anew()
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
            if bad[:, place].any() and self.state.may_fail(entry):
                step = first + int(bad[:, place].to(torch.int8).argmax())
                method = loss_method(entry.spec, entry.task)
                failed[key] = (
                    f"task '{key}': {method} returned what is no finite number at step {step}; no update was made "
                    "with such a loss"
                )
        if failed:
            self._switch_off(failed)

    # --- what comes out ------------------------------

    def fetch(self) -> None:
        """Hand the steps since the last block to the sink; raises TrainingFailed if a value is not finite."""
        if not self._recorder:
            return
        block, unsound = self._recorder.fetch()
        self.state.take(block)
        if not self.state.leads:
            return  # rank 0 says it
        self.sink.on_block(block)
        self._remember(block)
        for step, name in unsound:
            entry = self.tasks.entries.get(series.owner(name) or "")
            failed = self.state.updates.survives and entry is not None and self.state.may_fail(entry)
            if failed or (name == series.GRAD_NORM and self.state.updates.scaler is not None):
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
        """Keep the last value of the total and of each task; of one that was not drawn in a block an earlier one."""
        last = {}
        for name, row in zip(block.series, block.values, strict=True):
            key = name if name == series.TOTAL else series.task_key(name)
            if key is None or name == series.weighted(key):
                continue
            value = float(row[-1])
            if math.isnan(value):
                there = np.flatnonzero(~np.isnan(row))
                value = float(row[there[-1]]) if len(there) else self._last.get(key, value)
            if not math.isnan(value):
                last[key] = value
        self._last = last

    def _count_skipped(self, step: int, name: str, *, expected: bool = False) -> None:
        """Count a step that was left out; raise an alarm at the first, the tenth, the hundredth and so on.

        expected: fp16 tries a smaller loss scale now and then, which is no alarm.
        """
        self.state.skipped += 1
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
        entry = self.tasks.entries.get(series.owner(name) or "")
        part = series.part_of(name)
        loss = f"the loss '{part[1]}'" if part else "the loss"
        what = f"{loss} of task '{entry.spec.key}' (weight {entry.spec.weight:g})" if entry else f"'{name}'"
        rate = self.state.optimizer.lr(self.state.lr, step)
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

    def _save(self, reason: CheckpointReason) -> None:
        if not self.state.leads:
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

    def _tell_left_out(self) -> None:
        """Raise an alarm, once, for what a checkpoint could not keep and the proof has not seen."""
        lost = sorted(self.state.left_out() - self.state.harmless)
        if lost:
            self.state.harmless |= self.state.left_out()
            more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
            message = (
                f"{lost[0]}{more} is of a kind that no checkpoint keeps, so that a job that is taken up again would "
                f"go on without it. {WRITE}"
            )
            self.sink.on_alarm(Alarm("proof", self.step, message))

"""Commands on a running trainer: each is applied between two steps or refused with a sentence, and answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from acc.errors import InvalidInput, PluginFailed, TaskError
from acc.specs import TaskSpec, TrainSpec, parse
from acc.text import in_words, text_of
from acc.training.baselines import measure_baseline
from acc.training.proof import on_rank_0, try_task
from acc.training.protocols import Command, CommandResult, Control, Sink

if TYPE_CHECKING:
    from acc.training.train_state import TrainState

PAUSE_POLL_SECONDS = 0.25

Ending = Literal["stopped", "drained"]


class Steering:
    """Applies commands to one training. paused_seconds: how long it has stood still so far.

    changed: whether what is trained has changed; whoever acts on it sets it back.
    """

    def __init__(self, state: TrainState, sink: Sink, control: Control) -> None:
        self._state, self._sink, self._control = state, sink, control
        self.paused_seconds = 0.0
        self.changed = False
        self._changes: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "set_weight": lambda payload: self._change_task(payload, "weight"),
            "set_enabled": lambda payload: self._change_task(payload, "enabled"),
            "set_lr": self._set_lr,
            "set_clip": self._set_clip,
            "add_task": self._add_task,
            "remove_task": self._remove_task,
        }

    def obey(self, commands: Sequence[Command]) -> Ending | None:
        """Apply commands, and while paused those that follow; return how the run ends if one ends it."""
        paused_at: float | None = None
        pending: Sequence[Command] = commands
        ending: Ending | None = None
        while True:
            for command in pending:
                if command.kind == "pause":
                    paused_at = paused_at or time.perf_counter()
                elif command.kind == "resume" and paused_at is not None:
                    self.paused_seconds += time.perf_counter() - paused_at
                    paused_at = None
                elif command.kind in {"stop", "drain"}:
                    ending = ending or ("stopped" if command.kind == "stop" else "drained")
                self._sink.on_command(self._apply(command))
            if ending is not None or paused_at is None:
                break
            self._control.wait(PAUSE_POLL_SECONDS)
            pending = self._control.due(self._state.step)
        if paused_at is not None:
            self.paused_seconds += time.perf_counter() - paused_at
        return ending

    def _apply(self, command: Command) -> CommandResult:
        """Apply what changes the training; a command that does not fit is refused and changes nothing."""
        step = self._state.step
        change = self._changes.get(command.kind)
        try:
            if change is not None:
                if command.at_step is None and command.kind in {"add_task", "set_enabled"}:
                    self._try(command.payload)  # one that is replayed has been tried
                change(command.payload)
                self.changed = True
        except InvalidInput as error:
            field, messages = next(iter(error.fields.items()))
            return CommandResult(command, step, ok=False, message=messages[0], field=field)
        except Exception as error:  # a plugin's own code may raise anything; the run goes on without it
            message = f"{command.kind} was refused: {in_words(error)}"
            return CommandResult(command, step, ok=False, message=message)
        return CommandResult(command, step, ok=True)

    def _change_task(self, payload: Mapping[str, Any], name: str) -> None:
        state = self._state
        spec = state.tasks.get(payload.get("task")).spec
        if name not in payload:
            raise InvalidInput({name: f"missing; say what the task's {name} is to be"})
        state.tasks.change(spec.key, **{name: payload[name]})
        try:
            state.require_trainable()
        except InvalidInput:
            state.tasks.change(spec.key, **{name: getattr(spec, name)})
            raise
        state.replan()
        entry = state.tasks.get(spec.key)
        if entry.spec.enabled and entry.baseline is None:
            measure_baseline(state, entry, self._sink)

    def _set_lr(self, payload: Mapping[str, Any]) -> None:
        self._state.lr = self._asked("lr", payload.get("lr")).lr

    def _set_clip(self, payload: Mapping[str, Any]) -> None:
        if "grad_clip_norm" not in payload:
            raise InvalidInput(grad_clip_norm="missing; say the norm to clip gradients at, or null for none")
        self._state.clip = self._asked("grad_clip_norm", payload["grad_clip_norm"]).grad_clip_norm

    def _asked(self, name: str, value: Any) -> TrainSpec:
        """Return the options of the job with another value of one; raises InvalidInput for one that it cannot have."""
        train: TrainSpec = parse(TrainSpec, {**self._state.train.model_dump(), name: value})
        return train

    def _add_task(self, payload: Mapping[str, Any]) -> None:
        state = self._state
        spec: TaskSpec = parse(TaskSpec, payload.get("task"))
        entry = state.join(spec)
        entry.tried = spec.enabled
        if spec.enabled:
            measure_baseline(state, entry, self._sink)

    def _try(self, payload: Mapping[str, Any]) -> None:
        """Try a task that is to train from now on, on a copy of all; raises InvalidInput if it fails there."""
        state = self._state
        task = payload.get("task")
        if isinstance(task, str):
            entry = state.tasks.entries.get(task)
            if entry is None or entry.tried or payload.get("enabled") is not True:
                return  # nothing new trains, or the change is refused for another reason
            spec, key = entry.spec, task
        else:
            spec, key = parse(TaskSpec, task), ""
        if not state.classes.task(spec.task_class).trains or (not key and not spec.enabled):
            return
        try:
            self.paused_seconds += on_rank_0(state, self._sink, lambda: try_task(state, spec))
        except PluginFailed as error:
            field = "task" if key else "task_class"
            raise TaskError(
                f"{error}; it was tried on a copy, and the job goes on without it", field=field
            ) from error
        if key:
            state.tasks.get(key).tried = True

    def _remove_task(self, payload: Mapping[str, Any]) -> None:
        state = self._state
        key = state.tasks.get(payload.get("task")).spec.key
        try:
            state.require_trainable(without=[key])
        except InvalidInput as error:
            raise InvalidInput({"task": f"'{key}' cannot be removed: {text_of(error)}"}) from error
        state.drop(key)
        state.replan()

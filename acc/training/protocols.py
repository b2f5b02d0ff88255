"""What the trainer says to the world and hears from it. Torch-free, so both sides may import it.

The trainer calls a Sink and polls a Control on the training thread; neither may block it, touch a socket
or wait for a database. Implementations hand the work to a thread of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from acc.messages import CommandKind
from acc.specs import TrainJobSpec

CheckpointReason = Literal["autosave", "final", "stopped", "drained", "manual"]


@dataclass(frozen=True)
class PointBlock:
    """Consecutive steps ``start .. start+count-1`` of every series of one job.

    values: float32 ``(series, count)``; NaN where a series has no value at a step.
    wall_start, wall_end: seconds since the epoch of the first and last step.
    """

    start: int
    series: tuple[str, ...]
    values: NDArray[np.float32]
    wall_start: float
    wall_end: float

    @property
    def count(self) -> int:
        """Number of steps in the block."""
        return int(self.values.shape[1])


@dataclass(frozen=True)
class Command:
    """A request to change a running job, applied between two steps.

    ``at_step``: apply exactly before this step (replay after a resume); None: at the next one.
    """

    id: int
    kind: CommandKind
    payload: dict[str, Any] = field(default_factory=dict)
    at_step: int | None = None


@dataclass(frozen=True)
class CommandResult:
    """What became of a command: applied before step ``step``, or refused with a sentence."""

    command: Command
    step: int
    ok: bool
    message: str = ""
    field: str = ""


TASK_OFF = "task_off"


@dataclass(frozen=True)
class Alarm:
    """Something the user should hear of: ``nan``, ``divergence``, ``plateau``, ``collapse``, ``baseline``, ``proof``.

    Or TASK_OFF: the task of ``series`` failed and was switched off. ``over``: what an alarm of this kind told of
    this series has ended by this step.
    """

    kind: str
    step: int
    message: str
    series: str = ""
    over: bool = False


@dataclass(frozen=True)
class Baseline:
    """What a task's trivial predictor, who sees no image, comes to: its raw loss, and in words who that is.

    floor: telling nothing costs this, and whoever tells something pays more, as with a KL divergence.
    metrics: what it reaches on held-out rows, a sentence where there is no value. An evaluation reads these alone.
    """

    loss: float
    words: str
    floor: bool = False
    metrics: Mapping[str, float | str] = field(default_factory=dict)


class Snapshot(Protocol):
    """The full state of a trainer after ``step`` updates, detached from the running one.

    ``global_step``: updates made by the whole line of checkpoints. ``spec``: the job as it stood then.
    """

    @property
    def step(self) -> int: ...

    @property
    def global_step(self) -> int: ...

    @property
    def spec(self) -> TrainJobSpec: ...

    def write(self, path: str) -> str:
        """Write as safetensors (temporary name, fsync, rename) and return the file's sha256."""
        ...


class Sink(Protocol):
    """Receives what the trainer produces. Each method returns at once."""

    def on_block(self, block: PointBlock) -> None: ...

    def on_checkpoint(self, snapshot: Snapshot, reason: CheckpointReason) -> None: ...

    def on_command(self, result: CommandResult) -> None: ...

    def on_alarm(self, alarm: Alarm) -> None: ...

    def on_baseline(self, task_key: str, value: float, words: str, floor: bool = False) -> None:
        """Take the fields of a task's Baseline, when it is attached."""
        ...


class Control(Protocol):
    """Source of commands for a running trainer."""

    def due(self, step: int) -> Sequence[Command]:
        """Return the commands to apply before ``step``; usually empty, never blocks."""
        ...

    def wait(self, seconds: float) -> None:
        """Block until a command arrives or ``seconds`` pass (used only while paused)."""
        ...


class NullSink:
    """A sink that keeps nothing."""

    def on_block(self, block: PointBlock) -> None: ...

    def on_checkpoint(self, snapshot: Snapshot, reason: CheckpointReason) -> None: ...

    def on_command(self, result: CommandResult) -> None: ...

    def on_alarm(self, alarm: Alarm) -> None: ...

    def on_baseline(self, task_key: str, value: float, words: str, floor: bool = False) -> None: ...


class NullControl:
    """A control that never says anything."""

    def due(self, step: int) -> Sequence[Command]:
        return ()

    def wait(self, seconds: float) -> None: ...

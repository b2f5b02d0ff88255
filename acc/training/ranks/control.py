"""What is asked of a job that several ranks train: rank 0 hears it, and all obey before the same step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from acc.training.protocols import Command, Control, NullControl
from acc.training.ranks.group import Ranks


class SharedControl:
    """The Control of one rank. Rank 0 asks ``inner`` one step ahead, so that nobody waits for the answer.

    ``prepare``: called on the other ranks with each command, to load what it needs.
    """

    def __init__(
        self, ranks: Ranks, inner: Control, *, prepare: Callable[[Command], None] | None = None
    ) -> None:
        self._ranks, self._inner, self._prepare = ranks, inner, prepare
        self._ahead: Sequence[Command] = ()
        self._pending: tuple[Tensor, Any] | None = None
        self._stands = False

    def due(self, step: int) -> Sequence[Command]:
        """Return the commands to apply before ``step``, the same on all ranks."""
        stands, self._stands = self._stands, False
        if self._pending is None:
            self._ahead = self._inner.due(step) if self._ranks.leads else ()
            count = int(self._ranks.broadcast(len(self._ahead)))
        else:
            count = self._ranks.end_broadcast(self._pending)
            self._pending = None
        if count:
            return self._told()
        if self._ranks.leads:
            self._ahead = self._inner.due(step if stands else step + 1)
        self._pending = self._ranks.begin_broadcast(len(self._ahead))
        return ()

    def wait(self, seconds: float) -> None:
        """Block until a command arrives or ``seconds`` pass; the other ranks wait for what rank 0 tells next."""
        self._stands = True  # paused: the next question is about this step again
        if self._ranks.leads:
            self._inner.wait(seconds)

    def finish(self) -> None:
        """Take in what was told of a step that is not made any more."""
        if self._pending is not None:
            self._ranks.end_broadcast(self._pending)
            self._pending = None

    def _told(self) -> Sequence[Command]:
        told = self._ranks.broadcast([asdict(command) for command in self._ahead])
        if self._ranks.leads:
            return self._ahead
        commands = [Command(**fields) for fields in told]
        for command in commands:
            if self._prepare is not None:
                self._prepare(command)
        return commands


def shared_control(control: Control | None, ranks: Ranks | None) -> Control:
    """Return a control by which all ranks hear the same before the same step."""
    if control is None or type(control) is NullControl:
        return NullControl()  # nobody hears anything
    return control if ranks is None or isinstance(control, SharedControl) else SharedControl(ranks, control)

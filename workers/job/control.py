"""What is asked of a running job: read on a thread of its own, handed to the trainer between two steps."""

from __future__ import annotations

import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType

import structlog
from django.conf import settings
from django.db import Error as DatabaseError

from acc.text import in_words
from acc.training.protocols import Command, CommandResult
from accsite.apps.training.services import events
from workers.fork import copies
from workers.job.durable import disconnect

POLL_SECONDS = 0.12
POLL_SECONDS_WHEN_AWAY = 1.0
IMMEDIATE = frozenset({"pause", "resume", "stop", "drain"})
OWN_COMMAND_ID = 0  # not an event of the database: asked by the worker itself
NEVER = float("inf")

log = structlog.get_logger(__name__)


class DatabaseControl:
    """The Control of a job: commands from its events, the replay of earlier ones, and the worker's own drain.

    ``replay``: what an earlier attempt applied after the checkpoint that this one resumes from, by
    ``at_step``. ``prepare``: called on the polling thread with each new command, to load what it needs (a
    dataset, a plugin); if it raises, the command is answered by ``refuse`` and never reaches the trainer.
    ``watch``: called there each time, with whether the job is asked to be paused.
    ``unheard``: called there with a stop or drain that the trainer has not taken within ACC_STOP_SECONDS, as one
    that hangs never will.
    """

    def __init__(
        self,
        job_id: int,
        *,
        replay: Sequence[Command] = (),
        prepare: Callable[[Command], None] | None = None,
        refuse: Callable[[Command, Exception], None] | None = None,
        unheard: Callable[[Command], None] | None = None,
        watch: Callable[[bool], None] | None = None,
    ) -> None:
        self.job_id = job_id
        self._pending = events.Pending(job_id)
        self._replay = deque(sorted(replay, key=lambda command: (command.at_step or 0, command.id)))
        self._next_replay: float = self._replay[0].at_step or 0 if self._replay else NEVER
        self._prepare, self._refuse, self._unheard, self._watch = prepare, refuse, unheard, watch
        self._paused = False
        self._to_end: tuple[float, Command] | None = None  # since when a stop or drain waits to be heard
        self._at_once: deque[Command] = deque()
        self._steering: deque[Command] = deque()
        self._waiting = False
        self._arrived = threading.Event()
        self._seen: set[int] = set()
        self._stop = threading.Event()
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="control", daemon=True)

    def __enter__(self) -> DatabaseControl:
        self._thread.start()
        return self

    def __exit__(self, *_error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    # --- the training thread ----------------------------------------------------------------------------

    def due(self, step: int) -> Sequence[Command]:
        """Return the commands to apply before ``step``; usually empty, never blocks.

        New steering waits until everything that is replayed has been: it was asked for later.
        """
        copies.end_if_copy()
        if not self._waiting and step < self._next_replay:
            return ()
        commands: list[Command] = []
        while self._replay and (self._replay[0].at_step or 0) <= step:
            commands.append(self._replay.popleft())
        self._next_replay = self._replay[0].at_step or 0 if self._replay else NEVER
        self._waiting = False
        self._arrived.clear()
        queues = [self._at_once] if self._replay else [self._steering, self._at_once]
        for waiting in queues:
            while waiting:
                commands.append(waiting.popleft())
        if self._steering:
            self._waiting = True
        self._to_end = None
        return commands

    def wait(self, seconds: float) -> None:
        """Block until a command arrives or ``seconds`` pass."""
        self._arrived.wait(seconds)

    # --- everybody else ---------------------------------------------------------------------------------

    def drain(self) -> None:
        """Ask the trainer to put its work down; on any thread.

        Also from a signal handler: it takes no lock, since the thread it interrupts may hold it. A trainer
        that is paused looks again by itself.
        """
        command = Command(OWN_COMMAND_ID, "drain")
        self._to_end = self._to_end or (time.monotonic(), command)
        self._at_once.append(command)
        self._waiting = True

    def _deliver(self, command: Command) -> None:
        if command.kind == "stop":
            self._to_end = self._to_end or (time.monotonic(), command)
        if command.kind in {"pause", "resume"}:
            self._paused = command.kind == "pause"
        (self._at_once if command.kind in IMMEDIATE else self._steering).append(command)
        self._waiting = True
        self._arrived.set()

    def _run(self) -> None:
        pause = POLL_SECONDS
        try:
            while not self._stop.wait(pause):
                to_end = self._to_end
                if self._unheard and to_end and time.monotonic() - to_end[0] > settings.ACC_STOP_SECONDS:
                    self._unheard(to_end[1])
                if self._watch is not None:
                    self._watch(self._paused)
                try:
                    self._poll()
                    pause = POLL_SECONDS
                except DatabaseError as error:
                    log.warning("commands_not_read", error=str(error).strip())
                    disconnect()
                    pause = POLL_SECONDS_WHEN_AWAY
        finally:
            disconnect()

    def _poll(self) -> None:
        for command in self._pending.commands():
            if command.id in self._seen:
                continue
            self._seen.add(command.id)
            try:
                if self._prepare is not None:
                    self._prepare(command)
            except DatabaseError:
                self._seen.discard(command.id)
                raise
            except Exception as error:
                log.info("command_refused", kind=command.kind, error=str(error))
                if self._refuse is not None:
                    self._refuse(command, error)
                continue
            self._deliver(command)


def refusal(command: Command, error: Exception, step: int) -> CommandResult:
    """Return the answer to a command whose needs could not be met."""
    fields = getattr(error, "fields", None)
    if fields:
        field, messages = next(iter(fields.items()))
        return CommandResult(
            command, step, ok=False, message=messages[0], field="" if field == "__all__" else field
        )
    return CommandResult(command, step, ok=False, message=in_words(error))

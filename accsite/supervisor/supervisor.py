"""Starts processes in order, starts them again when they crash, and stops them so that no work is lost.

Children live in sessions of their own, so a Ctrl-C in the terminal reaches the supervisor only, which then
asks the workers to put their jobs down before Redis goes. Some of them the starter forks. Should
the supervisor itself be killed, the kernel sends its children SIGTERM.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import Protocol

from acc import forked
from acc.errors import AccError
from accsite.supervisor.console import Console
from accsite.supervisor.processes import Process, execute
from accsite.supervisor.starter import Forked, Starter

POLL_SECONDS = 0.1
FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0
STEADY_SECONDS = 20.0  # one that has lived this long has recovered, and its next crash counts as the first
CRASHES_ALLOWED = 6
ONE_SIGNAL_SECONDS = 0.5  # make and the terminal may both pass on the same Ctrl-C


class Stopping(Exception):
    """Somebody asked the supervisor to stop (Ctrl-C or SIGTERM)."""


class KeepsCrashing(AccError):
    """A process crashed again and again at its start; the sentence names it."""


class _Launch(Protocol):
    def __call__(
        self, process: Process, environment: Mapping[str, str], output: int, /
    ) -> subprocess.Popen[bytes] | forked.Fork | Forked: ...


class Child:
    """One process under the supervisor, over all its restarts.

    launch: how it is started. crash_means: what is added where a crash is told.
    """

    def __init__(
        self,
        process: Process,
        console: Console,
        environment: Mapping[str, str],
        launch: _Launch = execute,
        crash_means: str = "",
    ) -> None:
        self.process = process
        self.console = console
        self.environment = environment
        self.launch, self.crash_means = launch, crash_means
        self.popen: subprocess.Popen[bytes] | forked.Fork | Forked | None = None
        self.crashes = 0
        self.started_at = 0.0
        self.lost_at: float | None = (
            None  # monotonic time of when the starter was seen to have ended before it
        )
        self.start_at: float | None = None  # monotonic time of the next start, when one is due

    def start(self) -> None:
        """Start the process, its output going to the console."""
        self.start_at = self.lost_at = None
        self.started_at = time.monotonic()
        reader, output = os.pipe()
        try:
            self.popen = self.launch(self.process, self.environment, output)
        finally:
            os.close(output)
        self.console.follow(self.process.name, os.fdopen(reader, "rb"))

    @property
    def alive(self) -> bool:
        """Whether the process runs now."""
        return self.popen is not None and self.popen.poll() is None

    def check(self, now: float) -> None:
        """Start again what crashed, after a pause that doubles; raises KeepsCrashing if that is hopeless."""
        if self.start_at is not None:
            if now >= self.start_at:
                self.start()
            return
        if self.popen is None or self._goes_on(now):
            return
        if self.lost_at is not None:
            self.start()  # by the starter's successor
            return
        self.crashes = 1 if now - self.started_at > STEADY_SECONDS else self.crashes + 1
        how = describe_exit(self.popen.returncode or 0)
        if self.crashes >= CRASHES_ALLOWED:
            self.console.show_last(self.process.name)
            raise KeepsCrashing(
                f"{self.process.name} crashed {self.crashes} times in a row (the last time it {how}); "
                "its last lines above say why"
            )
        pause = min(FIRST_BACKOFF_SECONDS * 2 ** (self.crashes - 1), LONGEST_BACKOFF_SECONDS)
        self.console.line(
            "supervisor", f"{self.process.name} {how}; starting it again in {pause:g} s{self.crash_means}"
        )
        self.start_at = now + pause

    def _goes_on(self, now: float) -> bool:
        """Return whether it runs; one whose starter has ended may put its work down, and is killed if it does not."""
        assert self.popen is not None
        alive = self.popen.poll() is None
        if isinstance(self.popen, Forked) and self.popen.lost:
            self.lost_at = self.lost_at or now
            if alive and now - self.lost_at > self.process.grace_seconds:
                self.kill()
        return alive

    def ask_to_stop(self) -> None:
        """Send SIGTERM, and start it no more."""
        self.start_at = None
        if self.popen is not None and self.alive:
            self.popen.terminate()

    def kill(self) -> None:
        """Kill the process and all of its session that is still in its group."""
        if self.popen is None:
            return
        pid = self.popen.pid
        if isinstance(self.popen, Forked) and pid is None:
            self.popen.give_up()
        if pid is not None and self.alive:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        self.popen.wait()


class Supervisor:
    """Runs a first process until it is ready, then the others; stops the others first and the first last.

    Use as a context manager: leaving it always stops everything. ``pump`` must be called again and again,
    from the main thread, since that is what restarts and what signals interrupt.
    """

    def __init__(
        self,
        processes: Sequence[Process],
        *,
        environment: Mapping[str, str],
        console: Console,
        first: Process | None = None,
        first_is_ready: Callable[[], bool] = lambda: True,
        starter: Process | None = None,
    ) -> None:
        self.console = console
        self._forks = Starter(starter) if starter else None
        self.starter: Child | None = None
        if starter and self._forks:
            self.starter = Child(
                starter,
                console,
                environment,
                self._forks.execute,
                "; what it has forked ends and starts again with it",
            )
        self.first = Child(first, console, environment) if first else None
        self.first_is_ready = first_is_ready
        self.children = [
            Child(
                process,
                console,
                environment,
                self._forks.fork if self._forks and process.forked else execute,
            )
            for process in processes
        ]
        self._signals = 0
        self._previous: dict[int, object] = {}
        self._last_signal = 0.0

    def __enter__(self) -> Supervisor:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop everything and give the signals back."""
        try:
            self.stop()
        finally:
            for number, handler in self._previous.items():
                signal.signal(number, handler)  # type: ignore[arg-type]

    def warm_up(self) -> None:
        """Start the starter, if there is one: it imports while its caller goes on."""
        if self.starter is not None:
            self.starter.start()

    def start_first(self, *, seconds: float = 15.0) -> None:
        """Start the first process and return when it is ready."""
        if self.first is None:
            return
        self.first.start()
        if not self.wait_for(self.first_is_ready, seconds=seconds):
            self.console.show_last(self.first.process.name)
            raise AccError(f"{self.first.process.name} was not ready within {seconds:g} s; its log is above")

    def start(self) -> None:
        for child in self.children:
            child.start()

    def pump(self, seconds: float = POLL_SECONDS) -> None:
        """Look after the children for ``seconds``; raises Stopping after a signal."""
        until = time.monotonic() + seconds
        while True:
            if self._signals:
                raise Stopping
            now = time.monotonic()
            for child in self._all():
                child.check(now)
            if now >= until:
                return
            self._rest(min(POLL_SECONDS, max(until - now, 0.0)))

    def run(self) -> None:
        """Look after the children until a signal says stop."""
        try:
            while True:
                self.pump(60.0)
        except Stopping:
            return

    def wait_for(self, condition: Callable[[], bool], *, seconds: float | None = None) -> bool:
        """Pump until ``condition`` holds: True, or False after ``seconds`` (None: no limit)."""
        until = None if seconds is None else time.monotonic() + seconds
        while not condition():
            if until is not None and time.monotonic() > until:
                return False
            self.pump()
        return True

    def stop(self) -> None:
        """Stop the children, each within its grace period, then the first process; a second signal forces."""
        signals_before = self._signals
        running = [child for child in self.children if child.alive]
        for child in self.children:
            child.ask_to_stop()
        if any(child.process.queues for child in running):
            self.console.line(
                "supervisor", "stopping; jobs in progress are saved and requeued (Ctrl-C again: at once)"
            )
        self._await_end(self.children, signals_before)
        for last in (self.starter, self.first):
            if last is not None:
                last.ask_to_stop()
                self._await_end([last], signals_before)

    def _await_end(self, children: Sequence[Child], signals_before: int) -> None:
        started = time.monotonic()
        for child in children:
            while child.alive:
                forced = self._signals > signals_before
                late = time.monotonic() - started > child.process.grace_seconds
                if forced or late:
                    why = "asked again" if forced else f"not gone after {child.process.grace_seconds:g} s"
                    self.console.line("supervisor", f"killing {child.process.name} ({why})")
                    child.kill()
                else:
                    time.sleep(0.05)

    def _all(self) -> list[Child]:
        return [*(child for child in (self.first, self.starter) if child), *self.children]

    def _rest(self, seconds: float) -> None:
        if self._forks is not None:
            self._forks.wait(seconds)
        else:
            time.sleep(seconds)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last_signal > ONE_SIGNAL_SECONDS:
            self._signals += 1
        self._last_signal = now


def describe_exit(status: int) -> str:
    """Return an exit status in words: ``exited with status 1`` or ``was killed by SIGKILL``."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"exited with status {status}"

"""How a job's process is told to put its work down: SIGTERM, a stop from its user, a lost lease."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal

from workers.fork import copies

Reason = Literal["drain", "stop", "fenced"]


class Interrupted(BaseException):
    """The work is to end now; not an Exception, so that no plugin swallows it."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class Interruption:
    """What interrupts the main thread of a job's process. The first reason given counts.

    A trainer is told between two steps, by a listener; anything else is interrupted where it stands, but only
    within ``raising()``: what has been computed is then recorded in peace.
    """

    def __init__(self) -> None:
        self.reason: Reason | None = None
        self._raising = False
        self._listener: Callable[[], None] | None = None

    def install(self) -> None:
        """Take SIGTERM and SIGUSR1 over, and let in a SIGTERM that came while the process was forked."""
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGUSR1, self._on_ask)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def ask(self, reason: Reason) -> None:
        """Interrupt the main thread for ``reason``; on any thread."""
        self.reason = self.reason or reason
        main = threading.main_thread().ident
        if main is not None:
            signal.pthread_kill(main, signal.SIGUSR1)

    def listen(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called instead; at once if somebody has asked already."""
        self._listener = listener
        if self.reason is not None:
            listener()

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Within, raise Interrupted on the main thread as soon as somebody asks, or has asked."""
        self._raising = True
        try:
            if self.reason is not None:
                raise Interrupted(self.reason)
            yield
        finally:
            copies.end_if_copy()
            self._raising = False

    def _on_term(self, _number: int, _frame: FrameType | None) -> None:
        self.reason = self.reason or "drain"
        self._tell()

    def _on_ask(self, _number: int, _frame: FrameType | None) -> None:
        self._tell()

    def _tell(self) -> None:
        if self._listener is not None:
            self._listener()
        elif self._raising and self.reason is not None:
            self._raising = False
            raise Interrupted(self.reason)

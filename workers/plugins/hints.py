"""When to look at plugin files: an event of the file system is only a hint, and training keeps its pace."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from watchdog.events import FileSystemEvent, FileSystemEventHandler

BURST = (
    12  # files looked at without a thought; beyond it as many as PER_SECOND, so that training keeps its pace
)
PER_SECOND = 2.5
MOST_OWED = 3  # files: however many are saved at once, the next look is not far
CHANGES = {"created", "modified", "moved", "deleted", "closed"}  # a mere read makes events of other kinds


class Doorbell(FileSystemEventHandler):
    """Wakes the watcher when something below a plugin folder was written, moved or removed."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Ring, if it may concern a plugin."""
        paths = (os.fsdecode(event.src_path), os.fsdecode(event.dest_path))
        if event.event_type in CHANGES and (
            event.is_directory or any(path.endswith(".py") for path in paths)
        ):
            self.ring()

    def ring(self, *_: object) -> None:
        """Wake the watcher; also from a signal handler."""
        with suppress(BlockingIOError):  # it has been rung enough
            os.write(self._writer, b"!")

    def answer(self) -> None:
        """Stop the ringing."""
        with suppress(BlockingIOError):
            while os.read(self.reader, 4096):
                pass


class Pace:
    """Says when the next look may be: at once for a while, then so that few files a second are looked at.

    What is saved while it waits is seen by that one look.
    """

    def __init__(self, burst: int = BURST, per_second: float = PER_SECOND) -> None:
        self._burst, self._per_second = burst, per_second
        self._left, self._since = float(burst), time.monotonic()

    def spend(self, files: int) -> None:
        """Count files that were looked at."""
        self._left = max(self._now() - files, -float(MOST_OWED))

    def next(self) -> float:
        """Return when the next look may be, on the monotonic clock."""
        return time.monotonic() + max(0.0, 1 - self._now()) / self._per_second

    def _now(self) -> float:
        now = time.monotonic()
        self._left = min(float(self._burst), self._left + (now - self._since) * self._per_second)
        self._since = now
        return self._left

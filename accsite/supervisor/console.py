"""What a platform tells on one terminal: a line for each stage of its start, and its processes' log on request."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TextIO

COLOURS = (36, 32, 33, 35, 34, 96, 92, 95)  # ANSI: cyan, green, yellow, magenta, blue, and bright ones
NAME_WIDTH = 12
SUPERVISOR = "supervisor"
LAST_LINES = 20
LAST_SECONDS = 0.5
LOG_BYTES = 10 * 2**20


class Console:
    """Writes whole lines, each with the name of its process, from any thread.

    ``quiet``: what processes log goes to the file that ``log_to`` is told, and only what the supervisor and the
    command say to the terminal. Else everything goes to the terminal.
    """

    def __init__(self, out: TextIO | None = None, *, colour: bool | None = None, quiet: bool = False) -> None:
        self.out = out if out is not None else sys.stdout
        self.colour = wants_colour(self.out) if colour is None else colour
        self.quiet = quiet
        self.log: Path | None = None
        self._file: IO[str] | None = None
        self._lock = threading.RLock()
        self._order: list[str] = []
        self._last: dict[str, deque[str]] = {}
        self._stage_at = time.monotonic()
        self._waiting: list[threading.Thread] | None = None  # while nothing is read

    def log_to(self, path: Path) -> None:
        """Keep in ``path`` what a quiet console does not show; the file of the run before becomes ``.1``."""
        if self.quiet:
            self.log = path
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open()

    def line(self, name: str, text: str) -> None:
        """Write one line of the process ``name``, on the terminal or into the log."""
        label = f"{name:{NAME_WIDTH}} |"
        with self._lock:
            self._last.setdefault(name, deque(maxlen=LAST_LINES)).append(text)
            if self.quiet:
                self._keep(f"{label} {text}")
            if self.quiet and name != SUPERVISOR:
                return
            if name not in self._order:
                self._order.append(name)
            if self.colour:
                label = f"\x1b[{COLOURS[self._order.index(name) % len(COLOURS)]}m{label}\x1b[0m"
            self.write(f"{label} {text}")

    def stage(self, text: str) -> None:
        """Say that a stage of the start is done, and how long it took since the one before."""
        now = time.monotonic()
        tick, dim, plain = ("\x1b[32m✓\x1b[0m", "\x1b[2m", "\x1b[0m") if self.colour else ("✓", "", "")
        self.write(f"  {tick} {text}  {dim}{now - self._stage_at:.1f} s{plain}")
        self._stage_at = now

    def show_last(self, name: str) -> None:
        """Show the last lines of a process that failed, unless they are on the terminal anyway."""
        for thread in self.read():
            if thread.name == f"log-{name}":
                thread.join(LAST_SECONDS)
        if self.quiet:
            for text in self._last.get(name, ()):
                self.write(f"{name:{NAME_WIDTH}} | {text}")

    def write(self, text: str) -> None:
        """Write ``text`` as it is; a closed terminal is no reason to stop the platform."""
        encoding = getattr(self.out, "encoding", None) or "utf-8"
        shown = text.encode(encoding, "replace").decode(encoding)  # a tick is not in every character set
        with self._lock, suppress(OSError, ValueError):
            self.out.write(shown + "\n")
            self.out.flush()

    def follow(self, name: str, stream: IO[bytes]) -> threading.Thread:
        """Copy every line of ``stream`` on a thread of its own, until its end."""
        thread = threading.Thread(target=self._copy, args=(name, stream), name=f"log-{name}", daemon=True)
        if self._waiting is None:
            thread.start()
        else:
            self._waiting.append(thread)
        return thread

    @contextmanager
    def unread(self) -> Iterator[None]:
        """Leave in the pipes what processes say meanwhile, which takes no thread; it is read at the end."""
        self._waiting = []
        try:
            yield
        finally:
            self.read()

    def read(self) -> list[threading.Thread]:
        """Begin to read what was left in the pipes, if anything was, and return the threads that do."""
        waiting, self._waiting = self._waiting or [], None
        for thread in waiting:
            thread.start()
        return waiting

    def _copy(self, name: str, stream: IO[bytes]) -> None:
        with stream:
            for raw in stream:
                text = raw.decode(errors="replace").rstrip()
                if text:
                    self.line(name, text)

    def _keep(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a full disk is no reason to stop the platform
            if self._file is not None:
                if self._file.tell() > LOG_BYTES:
                    with suppress(OSError):  # it goes on in the old file until a new one can be begun
                        self._open()
                self._file.write(text + "\n")
                self._file.flush()

    def _open(self) -> None:
        """Begin a new file; raises OSError, and then what is open stays so."""
        assert self.log is not None
        with suppress(FileNotFoundError):
            self.log.replace(self.log.with_suffix(self.log.suffix + ".1"))
        begun = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        before, self._file = self._file, os.fdopen(begun, "w", encoding="utf-8", errors="replace")
        if before is not None:
            with suppress(OSError):
                before.close()


def wants_colour(out: TextIO) -> bool:
    """Return whether ``out`` is a terminal that wants colour (NO_COLOR and TERM=dumb say no)."""
    return out.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

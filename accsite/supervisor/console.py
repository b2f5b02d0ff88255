"""Log lines of many processes on one terminal: prefixed, coloured when somebody looks, plain in a file."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import IO, TextIO

COLOURS = (36, 32, 33, 35, 34, 96, 92, 95)  # ANSI: cyan, green, yellow, magenta, blue, and bright ones
NAME_WIDTH = 12


class Console:
    """Writes whole lines, each with the name of its process, from any thread."""

    def __init__(self, out: TextIO | None = None, *, colour: bool | None = None) -> None:
        self.out = out if out is not None else sys.stdout
        self.colour = wants_colour(self.out) if colour is None else colour
        self._lock = threading.Lock()
        self._order: list[str] = []

    def line(self, name: str, text: str) -> None:
        """Write one line of the process ``name``."""
        if name not in self._order:
            self._order.append(name)
        label = f"{name:{NAME_WIDTH}} |"
        if self.colour:
            label = f"\x1b[{COLOURS[self._order.index(name) % len(COLOURS)]}m{label}\x1b[0m"
        self.write(f"{label} {text}")

    def write(self, text: str) -> None:
        """Write ``text`` as it is; a closed terminal is no reason to stop the platform."""
        with self._lock, suppress(OSError, ValueError):
            self.out.write(text + "\n")
            self.out.flush()

    def follow(self, name: str, stream: IO[bytes]) -> threading.Thread:
        """Copy every line of ``stream`` on a thread of its own, until its end."""
        thread = threading.Thread(target=self._copy, args=(name, stream), name=f"log-{name}", daemon=True)
        thread.start()
        return thread

    def _copy(self, name: str, stream: IO[bytes]) -> None:
        with stream:
            for raw in stream:
                text = raw.decode(errors="replace").rstrip()
                if text:
                    self.line(name, text)


def wants_colour(out: TextIO) -> bool:
    """Return whether ``out`` is a terminal that wants colour (NO_COLOR and TERM=dumb say no)."""
    return out.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

"""One supervisor for each ACC_HOME: a lock file that says who holds it."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import IO

from acc.errors import AccError


class AlreadyRunning(AccError):
    """Another supervisor holds this ACC_HOME."""


class HomeLock:
    """A lock on ``path`` that the kernel gives back when this process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock; raises AlreadyRunning naming the process and address of the holder."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            held = file.read()
            file.close()
            raise AlreadyRunning(self._sentence(held)) from None
        self._file = file
        self.tell()

    def tell(self, url: str = "") -> None:
        """Write who holds the lock, and the address of its site once there is one."""
        if self._file is None:
            raise RuntimeError("the lock is not held")
        self._file.seek(0)
        self._file.truncate()
        json.dump({"pid": os.getpid(), "url": url}, self._file)
        self._file.flush()

    def release(self) -> None:
        """Give the lock back; harmless if it is not held."""
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None

    def _sentence(self, held: str) -> str:
        try:
            holder = json.loads(held)
        except ValueError:
            holder = {}
        process = f" as process {holder['pid']}" if holder.get("pid") else ""
        address = f" at {holder['url']}" if holder.get("url") else ""
        return (
            f"ACC already runs{process}{address} on {self.path.parent}; stop that one with Ctrl-C in its "
            "terminal, or set ACC_HOME to another folder"
        )

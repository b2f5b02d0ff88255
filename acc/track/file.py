"""A run's journal as a file: one process appends to it, whoever wants may read."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acc import journal
from acc.errors import InvalidInput
from acc.journal import DamagedJournal, Record

LOCK_SECONDS = 0.5
"""How long a writer waits for those that have the file locked."""


class Journal:
    """The one writer of a journal. Opening locks it: the kernel lets go of it when the process ends, however it does.

    What was cut off at the end of an earlier process is dropped. ``size``: bytes of whole records; ``count``: how many.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not _lock(self._file):
            os.close(self._file)
            raise InvalidInput(
                id=f"run {path.stem!r} is being written by another process ({path} is locked); "
                "let only one write a run, such as rank 0, or give each an id of its own"
            )
        self.size, self.count, self._digest = 0, 0, journal.START
        try:
            for record in records(path):
                self.size, self.count, self._digest = self.size + record.size, self.count + 1, record.digest
            os.ftruncate(self._file, self.size)
        except BaseException:
            os.close(self._file)
            raise

    def append(self, header: dict[str, Any], values: bytes = b"") -> None:
        """Write a record, whole or not at all: raises OSError, as for a full disk, and then nothing has changed."""
        data, digest = journal.encode(header, values, self._digest)
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._file, data[written:], self.size + written)
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self.size, self.count, self._digest = self.size + len(data), self.count + 1, digest

    def clear(self) -> None:
        """Drop all records."""
        os.ftruncate(self._file, 0)
        self.size, self.count, self._digest = 0, 0, journal.START

    def close(self) -> None:
        """Bring all to the disk and let go of the file."""
        try:
            os.fsync(self._file)
        finally:
            os.close(self._file)

    def abandon(self) -> None:
        """Close this process's copy of the file without a word, in a fork whose parent goes on with it."""
        os.close(self._file)


def _lock(file: int) -> bool:
    """Lock a journal for its writer; False if another has it. Who only asks whether it is written holds it a moment."""
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        else:
            return True


def records(path: Path, place: int = 0, before: bytes | None = journal.START) -> Iterator[Record]:
    """Yield the whole records of a journal from byte ``place`` on, which follow the digest ``before``.

    Raises DamagedJournal naming the file, OSError when it cannot be read.
    """
    with path.open("rb") as file:
        file.seek(place)
        try:
            yield from journal.read(file, before)
        except DamagedJournal as error:
            raise DamagedJournal(f"{path} is damaged: behind byte {place}, {error}") from None


def first(path: Path) -> Record:
    """Return the record that says what run it is; raises DamagedJournal for a file that is none."""
    for record in records(path):
        if record.says == "begin":
            return record
        break
    raise DamagedJournal(f"{path} is no run: it does not begin with a record that says so")


def is_written(path: Path) -> bool:
    """Return whether a process has the journal open to write to it."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False

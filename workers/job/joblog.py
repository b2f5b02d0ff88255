"""The log of a job: all that its processes print, at the level of file descriptors, on its way into the database.

Each process of a job writes to a file of its own; the kernel keeps what was written, whoever is killed. Its worker's
process reads the files and keeps them in rows (``services.logs``); what a killed worker left is kept by the next one of
its name. Nothing that prints ever waits for a database, and a file is freed as it is read, so that it stays small.
"""

from __future__ import annotations

import ctypes
import faulthandler
import fcntl
import io
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from django.conf import settings
from django.db import Error as DatabaseError

from accsite.apps.jobs.services import logs
from workers.job.durable import disconnect

LOOK_SECONDS = 0.5
SLOW_LOOK_SECONDS = 2.0
"""A stream that is beyond its head is read more seldom: what it prints mostly will not be kept."""
OURS = ("accsite", "workers", "acc", "django", "celery", "kombu", "amqp", "asyncio", "redis")
_NAME = re.compile(r"(\d+)-(\d+)-(\d+)\.log")
_KEEP_SIZE_PUNCH_HOLE = 0x1 | 0x2
_libc = ctypes.CDLL(None, use_errno=True)

log = structlog.get_logger(__name__)


class Stream(NamedTuple):
    """What one rank of a job prints in one attempt, and the file that it goes to."""

    job: int
    attempt: int
    rank: int
    path: Path


def folder_of(worker: str) -> Path:
    """Return where the processes of a worker's jobs write what they print."""
    folder = Path(settings.HOME) / "run" / "job-logs" / worker
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def capture(worker: str, job: int, attempt: int, rank: int = 0) -> None:
    """Have this process write what it prints from now on into the job's log; the platform's own log stays its own.

    Where no file can be made (a full disk), the job goes on without a log of its own.
    """
    try:
        path = folder_of(worker) / f"{job}-{attempt}-{rank}.log"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        log.warning(
            "job_log_not_made", error=str(error), hint="what the job prints goes into the worker's log"
        )
        return
    terminal = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(terminal)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    sys.stdout, sys.stderr = _Printer.on(1), _Printer.on(2)
    faulthandler.enable(file=2)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(lambda record: record.name.partition(".")[0] not in OURS)
    logging.getLogger().addHandler(handler)


def say(text: str) -> None:
    """Write a line of ours, or a traceback, into the log of the job whose process this is."""
    sys.stderr.write(text if text.endswith("\n") else f"{text}\n")


def streams(worker: str, job: int | None = None) -> list[Stream]:
    """Return the streams whose files a worker has: of ``job``, or of all its jobs."""
    found = []
    for path in sorted(folder_of(worker).glob("*.log")):
        match = _NAME.fullmatch(path.name)
        if match is not None and job in (None, int(match[1])):
            found.append(Stream(int(match[1]), int(match[2]), int(match[3]), path))
    return found


def keep(stream: Stream, *, ended: bool = False) -> int:
    """Bring the database up to what a file holds and return its size; with ``ended``, the file is removed.

    Safe in any number of processes: they take turns. Raises the database's errors.
    """
    try:
        file = stream.path.open("rb+")
    except FileNotFoundError:
        return 0
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = os.fstat(file.fileno()).st_size
        if size:
            read = partial(_read, file.fileno())
            logs.keep(stream.job, stream.attempt, stream.rank, size=size, read=read, ended=ended)
            _free(file.fileno(), logs.HEAD_BYTES, size - logs.TAIL_BYTES)
        if ended:
            stream.path.unlink(missing_ok=True)
    return size


def keep_now(worker: str, job: int) -> None:
    """Keep what a job has printed, before its end is told; what cannot be kept now is kept later."""
    with _told():
        for stream in streams(worker, job):
            keep(stream)


class Keeper:
    """Reads the logs of a worker's jobs on a thread, until ``stop``; running(): which jobs have a process now."""

    def __init__(self, worker: str, running: Callable[[], set[int]]) -> None:
        self._worker, self._running = worker, running
        self._seen: dict[Path, tuple[int, float]] = {}  # size, and when it was kept
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="job-logs", daemon=True)

    def start(self) -> None:
        """Begin to read; what a worker of this name left is kept first."""
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        try:
            while not self._stop.wait(LOOK_SECONDS):
                self._look()
            self._look()
        finally:
            disconnect()

    def _look(self) -> None:
        with _told():
            found = streams(self._worker)
            running = (
                self._running()
            )  # after the files: one of a job that has just started is not of an ended one
            for stream in found:
                self._keep(stream, ended=stream.job not in running)

    def _keep(self, stream: Stream, *, ended: bool) -> None:
        size, kept_at = self._seen.get(stream.path, (0, float("-inf")))
        now = time.monotonic()
        if ended:
            keep(stream, ended=True)
            self._seen.pop(stream.path, None)
            return
        with suppress(FileNotFoundError):
            grown = stream.path.stat().st_size > size
            pause = SLOW_LOOK_SECONDS if size > logs.HEAD_BYTES else 0
            if grown and now - kept_at >= pause:
                self._seen[stream.path] = (keep(stream), now)


@contextmanager
def _told() -> Iterator[None]:
    """Tell the platform's log of what keeps a job's log from being kept, and go on."""
    try:
        yield
    except DatabaseError as error:
        log.warning("job_log_not_kept", error=str(error).strip(), hint="kept in its file and tried again")
        disconnect()
    except OSError as error:
        log.warning("job_log_not_read", error=str(error))


class _Printer(io.TextIOWrapper):
    """Standard output of a job: each line at once, any text, and never an error for who prints (a full disk, say)."""

    @classmethod
    def on(cls, descriptor: int) -> _Printer:
        raw = _Descriptor(descriptor, "w", closefd=False)
        return cls(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True, write_through=True)


class _Descriptor(io.FileIO):
    """A file whose writes are never refused: what cannot be written is lost, and the job goes on."""

    def write(self, data: Any) -> int:
        """Write all of ``data``, or what can be written of it."""
        view = memoryview(data).cast("B")
        left = view
        with suppress(OSError):
            while left:
                left = left[os.write(self.fileno(), left) :]
        return len(view)


def _read(descriptor: int, start: int, stop: int) -> bytes:
    parts = []
    while start < stop and (data := os.pread(descriptor, stop - start, start)):
        parts.append(data)
        start += len(data)
    return b"".join(parts)


def _free(descriptor: int, start: int, stop: int) -> None:
    """Give back the disk's room between two places of a file, where its file system can."""
    if stop > start:
        _libc.fallocate(
            descriptor, _KEEP_SIZE_PUNCH_HOLE, ctypes.c_longlong(start), ctypes.c_longlong(stop - start)
        )

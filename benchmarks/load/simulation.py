"""What simulates workers and takes the time: writers of loss points, calls one by one, calls when they are due."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.load.processor import used_by_family

FRAMES_PER_SECOND = 10
SERIES = tuple(f"raw/{number}" for number in range(8))
ALONE_SECONDS = 6.0
TOGETHER_SECONDS = 30.0


@dataclass(frozen=True)
class Cost:
    """What calls came to: how many a second, their milliseconds, and processor ms of PostgreSQL and of the caller."""

    per_second: float
    p50_ms: float
    p99_ms: float
    database_ms: float
    caller_ms: float


class Writer:
    """Appends blocks of one job, as its recorder does: the steps that were made since the block before."""

    def __init__(self, job: int, attempt: int, steps_per_second: float) -> None:
        self.job, self.attempt, self.rate = job, attempt, steps_per_second
        self.step, self.owed = 0, 0.0
        self.values = np.random.default_rng(job).random((len(SERIES), 4096), dtype=np.float32)

    def append(self) -> int:
        """Append one block and return how many points it holds."""
        from acc.training.protocols import PointBlock
        from accsite.apps.training.services import points

        self.owed += self.rate / FRAMES_PER_SECOND
        count = int(self.owed)
        self.owed -= count
        if count == 0:
            return 0
        now = time.time()
        block = PointBlock(self.step, SERIES, self.values[:, :count], now - 0.1, now)
        points.append(self.job, self.attempt, block)
        self.step += count
        return count * len(SERIES)


class Meter:
    """Processor seconds of PostgreSQL and of this process from its making on."""

    def __init__(self, postmaster: int) -> None:
        self.postmaster = postmaster
        self.began = time.perf_counter(), used_by_family(postmaster), time.process_time()

    def read(self) -> tuple[float, float, float]:
        """Return seconds gone by, PostgreSQL's processor seconds, and our own."""
        began, database, own = self.began
        return (
            time.perf_counter() - began,
            used_by_family(self.postmaster) - database,
            time.process_time() - own,
        )


def in_threads(bodies: Sequence[Callable[[], None]]) -> None:
    """Run all at once and return when all have ended; each closes its connection to the database."""
    from django.db import connection

    def run(body: Callable[[], None]) -> None:
        try:
            body()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def alone(postmaster: int, call: Callable[[int], object]) -> Cost:
    """Return the cost of ``call(number)`` made one after the other on one thread for some seconds."""
    took: list[float] = []
    call(0)
    meter = Meter(postmaster)
    until = time.perf_counter() + ALONE_SECONDS
    while time.perf_counter() < until:
        began = time.perf_counter()
        call(len(took))
        took.append(time.perf_counter() - began)
    seconds, database, own = meter.read()
    return Cost(
        per_second=len(took) / seconds,
        p50_ms=1000 * float(np.median(took)),
        p99_ms=1000 * float(np.percentile(took, 99)),
        database_ms=1000 * database / len(took),
        caller_ms=1000 * own / len(took),
    )


def on_time(
    period: float, calls: Sequence[Callable[[], object]], took: list[float], late: list[bool]
) -> None:
    """Make each call once in ``period`` seconds, evenly spread; one that begins a period too late is noted as late."""
    began, index = time.perf_counter(), 0
    while (due := began + index * period / len(calls)) < began + TOGETHER_SECONDS:
        time.sleep(max(0.0, due - time.perf_counter()))
        started = time.perf_counter()
        late.append(started - due > period)
        calls[index % len(calls)]()
        took.append(time.perf_counter() - started)
        index += 1

"""A thousand workers' heartbeats and ten thousand loss points a second into one PostgreSQL, and what each costs it.

The workers are simulated: threads that call the services which real ones call, at the times at which they would.
PostgreSQL is a durable one of its own; its processor time is read from the kernel, apart from the simulation's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.load.processor import exit_when_terminated, parent_of
from benchmarks.load.simulation import (
    FRAMES_PER_SECOND,
    SERIES,
    Cost,
    Meter,
    Writer,
    alone,
    in_threads,
    on_time,
)
from benchmarks.platform_under_test import ROOT, site
from benchmarks.rows import Row, report

WORKERS = 1000
JOBS = 10
POINTS_PER_SECOND = 10_000
THREADS = 6
SWEEPS = 5


@dataclass(frozen=True)
class Figures:
    """All that is measured; ``shares``: processor cores that PostgreSQL and the simulation took together."""

    heartbeat: Cost
    block: Cost
    lease: Cost
    late_share: float
    heartbeats_per_second: float
    points_per_second: float
    heartbeat_p99_ms: float
    block_p99_ms: float
    database_cores: float
    caller_cores: float
    sweep_ms: float
    pulse_ms: float


def telemetry(number: int) -> dict[str, Any]:
    """Return figures as large as a worker's are."""
    return {
        "device_name": "Simulated processor",
        "cpu_percent": number % 100,
        "load": 1.5,
        "cores": 16,
        "host_memory_used_bytes": 2**34 + number,
        "host_memory_total_bytes": 2**36,
    }


def names() -> list[str]:
    """Return the names of the workers, registered and online."""
    from django.utils import timezone

    from accsite.apps.jobs.models import Worker

    made = [f"simulated-{number}" for number in range(WORKERS)]
    Worker.objects.bulk_create(
        Worker(
            name=name,
            hostname="load",
            pid=number + 1,
            device="cpu",
            queues=["train"],
            telemetry=telemetry(number),
            heartbeat_at=timezone.now(),
        )
        for number, name in enumerate(made)
    )
    return made


def running_jobs(holders: Sequence[str]) -> list[tuple[int, int]]:
    """Return id and attempt of running train jobs, one for each holder."""
    from accsite.apps.jobs.models import Job, JobKind
    from accsite.apps.jobs.services import lifecycle

    held = []
    for name in holders:
        job = Job.objects.create(kind=JobKind.TRAIN, queue="train", title="load", spec={}, total_steps=10**6)
        claim = lifecycle.claim(job.pk, name)
        assert claim is not None
        lifecycle.start(job.pk, claim.attempt)
        held.append((job.pk, claim.attempt))
    return held


def measure() -> Figures:
    """Return all figures, on the database of DATABASE_URL."""
    from django.conf import settings
    from django.db import connection

    from accsite.apps.jobs.selectors.workers import worker_figures
    from accsite.apps.jobs.services import lifecycle, outbox, workers

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        postmaster = parent_of(cursor.fetchone()[0])
    simulated = names()
    jobs = running_jobs(simulated[:JOBS])
    rate = POINTS_PER_SECOND / JOBS / len(SERIES)
    writers = [Writer(job, attempt, rate) for job, attempt in jobs]

    def beat(number: int) -> None:
        workers.heartbeat(name=simulated[number % WORKERS], telemetry=telemetry(number))

    heartbeat = alone(postmaster, beat)
    block = alone(postmaster, lambda number: writers[number % JOBS].append())
    lease = alone(postmaster, lambda number: lifecycle.renew(*jobs[number % JOBS]))

    beats: list[float] = []
    blocks: list[float] = []
    late: list[bool] = []
    points: list[int] = []

    def beating(share: Sequence[str]) -> Callable[[], None]:
        calls = [lambda name=name: workers.heartbeat(name=name, telemetry=telemetry(1)) for name in share]
        return lambda: on_time(settings.ACC_HEARTBEAT_SECONDS, calls, beats, late)

    def writing(share: Sequence[Writer]) -> Callable[[], None]:
        calls = [lambda writer=writer: points.append(writer.append()) for writer in share]
        return lambda: on_time(1 / FRAMES_PER_SECOND, calls, blocks, late)

    half = THREADS // 2
    meter = Meter(postmaster)
    in_threads(
        [beating(simulated[start::half]) for start in range(half)]
        + [writing(writers[start::half]) for start in range(half)]
    )
    seconds, database, own = meter.read()
    # Workers that fell silent are looked for every two seconds, and the page of devices is told every five.
    began = time.perf_counter()
    for _ in range(SWEEPS):
        lifecycle.reap()
        outbox.sweep()
    swept = time.perf_counter()
    worker_figures()
    return Figures(
        heartbeat=heartbeat,
        block=block,
        lease=lease,
        late_share=sum(late) / len(late),
        heartbeats_per_second=len(beats) / seconds,
        points_per_second=sum(points) / seconds,
        heartbeat_p99_ms=1000 * float(np.percentile(beats, 99)),
        block_p99_ms=1000 * float(np.percentile(blocks, 99)),
        database_cores=database / seconds,
        caller_cores=own / seconds,
        sweep_ms=1000 * (swept - began) / SWEEPS,
        pulse_ms=1000 * (time.perf_counter() - swept),
    )


def on_postgresql() -> Figures:
    """Return the figures of a durable, throw-away PostgreSQL."""
    from scripts.test import postgresql

    with postgresql(durable=True) as url:
        env = {**os.environ, "DATABASE_URL": url}
        command = [sys.executable, "-m", "benchmarks.load.workers", "measure"]
        done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found.update({name: Cost(**found[name]) for name in ("heartbeat", "block", "lease")})
    return Figures(**found)


def main() -> None:
    found = on_postgresql()
    # A cost is what the database spends, and what the worker's own machine spends beside it.
    each = {
        "a heartbeat": (found.heartbeat, 1.0),
        "a block of loss points": (found.block, 3.0),
        "the renewal of a lease": (found.lease, 1.0),
    }
    report(
        Row(
            name=f"{WORKERS:,} workers' heartbeats and {POINTS_PER_SECOND:,} points/s, on time",
            value=1 - found.late_share,
            unit="x",
            goal=0.99,
            better="higher",
            measured=f"{found.heartbeats_per_second:.0f} heartbeats/s, p99 {found.heartbeat_p99_ms:.0f} ms; "
            f"{found.points_per_second:,.0f} points/s of {JOBS} jobs, p99 {found.block_p99_ms:.0f} ms a block; "
            f"PostgreSQL {found.database_cores:.2f} cores, the simulation {found.caller_cores:.2f}",
        ),
        *(
            Row(
                name=f"{what}, processor time of PostgreSQL",
                value=cost.database_ms,
                unit="ms",
                goal=goal,
                better="lower",
                measured=f"{cost.caller_ms:.2f} ms of the worker's; p50 {cost.p50_ms:.1f} ms, "
                f"p99 {cost.p99_ms:.1f} ms, {cost.per_second:.0f}/s one after the other",
            )
            for what, (cost, goal) in each.items()
        ),
        Row(
            name=f"a sweep over {WORKERS:,} workers",
            value=found.sweep_ms,
            unit="ms",
            goal=200,
            better="lower",
            measured=f"every 2 s; the figures of the devices page {found.pulse_ms:.0f} ms, every 5 s",
        ),
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        with site():
            print(json.dumps(asdict(measure())))
    else:
        exit_when_terminated()
        main()

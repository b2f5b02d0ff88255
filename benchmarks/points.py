"""Points per second from the trainer into the database: blocks as it makes them, one fenced writer.

Baselines of the same run: the same numbers appended to a file, and PostgreSQL's COPY of a row for each point.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from benchmarks.platform_under_test import ROOT, site
from benchmarks.rows import Row, report

SERIES = (
    "raw/reconstruction",
    "raw/kl",
    "raw/digit",
    "weighted/reconstruction",
    "weighted/kl",
    "weighted/digit",
    "total",
    "lr",
)
# The trainer fetches ten times a second: a fast job fills a block with 100 steps, a slow one with ten.
FAST, SLOW = 100, 10
BLOCKS = 600
# Fifty times what TensorBoard's writer was measured to keep, one call a step (4,090 a second).
GOAL_POINTS_PER_SECOND = 200_000


def blocks(steps: int) -> list[Any]:
    """Return the blocks of a run, ``steps`` each: float32 (series, steps)."""
    from acc.training.protocols import PointBlock

    values = np.random.default_rng(0).random((len(SERIES), BLOCKS * steps), dtype=np.float32)
    return [
        PointBlock(start, SERIES, values[:, start : start + steps], float(start), start + 0.1)
        for start in range(0, BLOCKS * steps, steps)
    ]


def points_in(steps: int) -> int:
    """Return how many points the blocks of ``steps`` hold."""
    return BLOCKS * steps * len(SERIES)


def running_job() -> tuple[int, int]:
    """Return id and attempt of a train job that a worker holds."""
    from accsite.apps.jobs.models import Job, JobKind
    from accsite.apps.jobs.services import lifecycle, workers

    worker = workers.register(
        name="bench", hostname="bench", pid=os.getpid(), device="cpu", queues=["train"], telemetry={}
    )
    job = Job.objects.create(
        kind=JobKind.TRAIN, queue="train", title="points", spec={}, total_steps=BLOCKS * FAST
    )
    claim = lifecycle.claim(job.pk, worker)
    assert claim is not None
    lifecycle.start(job.pk, claim.attempt)
    return job.pk, claim.attempt


def database_rate(steps: int) -> float:
    """Return points per second through the service that the worker calls, each block its own transaction."""
    from accsite.apps.training.services import points

    job, attempt = running_job()
    made = blocks(steps)
    started = time.perf_counter()
    for block in made:
        points.append(job, attempt, block)
    return points_in(steps) / (time.perf_counter() - started)


def file_rate() -> float:
    """Return points per second of appending each block to a file, flushed to the kernel."""
    made = blocks(FAST)
    with tempfile.NamedTemporaryFile() as out:
        started = time.perf_counter()
        for block in made:
            out.write(np.ascontiguousarray(block.values).tobytes())
            out.flush()
        return points_in(FAST) / (time.perf_counter() - started)


def copy_rate() -> float:
    """Return points per second of PostgreSQL's COPY, a row for each point, a thousand rows a transaction."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_points (job int, step int, series int, value real)")
        rows = [
            (1, block.start + step, series, float(block.values[series, step]))
            for block in blocks(FAST)[:100]
            for step in range(FAST)
            for series in range(len(SERIES))
        ]
        started = time.perf_counter()
        for first in range(0, len(rows), 1000):
            with cursor.copy("COPY bench_points FROM STDIN") as copy:
                for row in rows[first : first + 1000]:
                    copy.write_row(row)
        return len(rows) / (time.perf_counter() - started)


def on_postgresql() -> list[float]:
    """Return points per second of fast blocks, slow blocks and COPY on a durable, throw-away PostgreSQL."""
    from scripts.test import postgresql

    with postgresql(durable=True) as url:
        env = {**os.environ, "DATABASE_URL": url}
        command = [sys.executable, "-m", "benchmarks.points", "postgresql"]
        done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return [float(word) for word in done.stdout.split()[-3:]]


def main() -> None:
    """Measure on SQLite and PostgreSQL and print the rows."""
    with site():
        sqlite, sqlite_slow, file = database_rate(FAST), database_rate(SLOW), file_rate()
    postgres, postgres_slow, copied = on_postgresql()
    told = f"blocks of {FAST} steps; of {SLOW} steps {sqlite_slow:,.0f}/s"
    baseline = f"file append {file:,.0f}/s"
    report(Row("points to SQLite", sqlite, "/s", GOAL_POINTS_PER_SECOND, "higher", told, baseline))
    told = f"{postgres:,.0f}/s in blocks of {FAST} steps; of {SLOW} steps {postgres_slow:,.0f}/s"
    baseline = f"COPY of a row a point {copied:,.0f}/s"
    report(Row("points to PostgreSQL, over COPY", postgres / copied, "x", 0.5, "higher", told, baseline))


if __name__ == "__main__":
    if sys.argv[1:] == ["postgresql"]:
        with site():
            print(database_rate(FAST), database_rate(SLOW), copy_rate())
    else:
        main()

"""What a kill -9 of a training leaves uncommitted of the steps that it had handed over, against a thread of its own.

A process hands over a block for each step of 5 ms, notes in shared memory which was the last, and is killed at any
moment; then it is counted what the database does not have. Once its records are kept by a process beside it, as in a
job, and once by threads of its own, which die with it.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.platform_under_test import site
from benchmarks.points import SERIES, running_job
from benchmarks.rows import Row, median, report

KILLS = 20
STEP_SECONDS = 0.005


def hand_over(lease: Any, pipe: Any, noted: mmap.mmap) -> None:
    """Hand over a step each 5 ms until killed."""
    import numpy as np

    from acc.training.protocols import PointBlock
    from workers.job.sinks import Recorder

    recorder = Recorder(lease, scratch=Path(tempfile.gettempdir()), on_broken=lambda: None, pipe=pipe)
    values = np.zeros((len(SERIES), 1), dtype=np.float32)
    for step in range(1_000_000):
        recorder.on_block(PointBlock(step, SERIES, values, float(step), float(step)))
        noted[:8] = struct.pack("<q", step + 1)
        time.sleep(STEP_SECONDS)


def lost(*, beside: bool) -> int:
    """Return how many steps a kill at a random moment loses of those that were handed over."""
    from accsite.apps.jobs.models import Job
    from workers.job import record_keeper
    from workers.job.durable import disconnect
    from workers.job.lease import Lease
    from workers.job.records import Pipe

    job, attempt = running_job()
    disconnect()
    noted = mmap.mmap(-1, 8)
    ours, theirs = Pipe.pair() if beside else (None, None)
    keeper = 0
    if theirs is not None and ours is not None:
        keeper = os.fork()
        if keeper == 0:
            ours.forget()
            os._exit(record_keeper.main("bench", job, theirs))
        theirs.forget()
    training = os.fork()
    if training == 0:
        hand_over(Lease(job, attempt), ours, noted)
    if ours is not None:
        ours.forget()
    time.sleep(random.uniform(0.5, 1.5))
    os.kill(training, signal.SIGKILL)
    os.waitpid(training, 0)
    if keeper:
        os.waitpid(keeper, 0)
    handed = struct.unpack("<q", noted[:8])[0]
    return max(0, handed - Job.objects.get(pk=job).step)


def main() -> None:
    with site():
        beside = [lost(beside=True) for _ in range(KILLS)]
        threads = [lost(beside=False) for _ in range(KILLS)]
    told = f"the most of {KILLS} kills, steps of {1000 * STEP_SECONDS:g} ms"
    baseline = f"kept by a thread: {median(threads):g}, at most {max(threads)}"
    report(Row("steps handed over that a kill -9 loses", max(beside), "steps", 0, "lower", told, baseline))


if __name__ == "__main__":
    main()

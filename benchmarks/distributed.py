"""Steps per second of one job by one process and by several ranks: what sharing a batch brings on this machine.

Both train the same model at the same batch, all of them on one thread. On GPUs there is one rank for each; on a CPU,
two. The efficiency is the gain over the number of ranks; what holds it back on a CPU is that its ranks share caches
and memory, and cores with whatever else runs.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from acc.training.ranks.join import at_file, joined
from acc.training.trainer import Trainer
from benchmarks.rows import Row, median, report
from benchmarks.trainer_vs_bare_loop import prepared

STEPS = 60
BATCH = 256
ROUNDS = 3
GOAL = 0.7


def rate(ranks: int, device: str) -> float:
    """Return steps per second of a job that ``ranks`` processes train."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        answers = context.SimpleQueue()
        started = [
            context.Process(
                target=_rank, args=(number, ranks, device, str(Path(folder) / "meeting"), answers)
            )
            for number in range(ranks)
        ]
        for process in started:
            process.start()
        for process in started:
            process.join()
            if process.exitcode:
                raise SystemExit(f"a rank ended with status {process.exitcode}")
        return float(answers.get())


def _rank(number: int, size: int, device: str, meeting: str, answers: Any) -> None:
    torch.set_num_threads(1)
    dataset, classes, job = prepared()
    own = torch.device(f"cuda:{number}" if device == "cuda" else "cpu")
    options = {"steps": STEPS, "batch_size": BATCH, "ranks": size, "device": str(own)}
    job = job.model_copy(update={"train": job.train.model_copy(update=options)})
    data = {"digits": dataset}
    if size == 1:
        answers.put(Trainer(job, data, classes=classes).run().steps_per_second)
        return
    with joined(number, size, device=own, store=at_file(Path(meeting), size)) as ranks:
        result = Trainer(job, data, classes=classes, ranks=ranks).run()
    if number == 0:
        answers.put(result.steps_per_second)


def main() -> None:
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device, ranks = ("cuda", gpus) if gpus > 1 else ("cpu", min(2, len(os.sched_getaffinity(0))))
    alone, shared = [], []
    for _ in range(ROUNDS):
        alone.append(rate(1, device))
        shared.append(rate(ranks, device))
    gain = median(shared) / median(alone)
    told = f"{median(shared):.1f} steps/s of batch {BATCH}, {gain:.2f} times one process"
    baseline = f"one process {median(alone):.1f} steps/s"
    report(Row(f"{ranks} ranks on {device}, efficiency", gain / ranks, "x", GOAL, "higher", told, baseline))


if __name__ == "__main__":
    main()

"""What `acc.track` costs a loop of one's own, beside the loggers that are installed, and what it has after kill -9.

Microseconds of the training thread for each point, the median over calls, with one and with four points a call, of
floats and of tensors on the CPU, of which torch's ``item()`` alone takes half a microsecond. Each logger is asked in
turns, in processes of their own. A loop does some work between two calls, as loops do.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.platform_under_test import ROOT
from benchmarks.rows import Row, median, report

ROUNDS = 3
CALLS = 3_000
WORK_SECONDS = 0.0005
GOALS = {("floats", 1): 1.5, ("floats", 4): 0.3, ("tensors", 1): 2.0, ("tensors", 4): 1.0}
VALUES = {"loss": 0.5, "kl": 0.25, "reconstruction": 1.5, "beta": 4.0}
PEERS = {"acc": "acc.track", "tensorboard": "tensorboard", "mlflow": "mlflow"}
FEWER = {"mlflow": 100}
"""A call of it takes milliseconds."""
CLOSED_SECONDS = 0.15
"""A block is closed after a tenth of a second; the rest is for a busy machine's scheduler."""

LOOP = """
import itertools, sys, time
from acc import track
run = track.run("bench/kill", folder=sys.argv[1], id="k", offline=True)
for step in itertools.count():
    run.log({"loss": float(step)}, step)
    print(step, time.time(), flush=True)
    time.sleep(0.001)
"""


def logger(name: str, folder: str) -> Callable[[dict[str, float], int], None]:
    """Return what logs values of a step by a package."""
    if name == "acc":
        from acc import track

        return track.run("bench/one", folder=folder, offline=True).log
    if name == "tensorboard":
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(folder)

        def scalars(values: dict[str, float], step: int) -> None:
            for tag, value in values.items():
                writer.add_scalar(tag, value, step)

        return scalars
    import mlflow

    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    mlflow.set_tracking_uri(f"file:{folder}/runs")
    mlflow.start_run()

    def metrics(values: dict[str, float], step: int) -> None:
        mlflow.log_metrics(values, step=step)

    return metrics


def measured(name: str, kind: str, points: int) -> float:
    """Return microseconds a point, the median over calls, in this process."""
    values: dict[str, Any] = dict(list(VALUES.items())[:points])
    if kind == "tensors":
        import torch

        values = {series: torch.tensor(value) for series, value in values.items()}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        log = logger(name, folder)
        taken = []
        for step in range(FEWER.get(name, CALLS)):
            until = time.perf_counter() + WORK_SECONDS
            while time.perf_counter() < until:
                pass
            begun = time.perf_counter_ns()
            log(values, step)
            taken.append(time.perf_counter_ns() - begun)
    return median(taken) / points / 1000


def ask(name: str, kind: str, points: int) -> float:
    command = [sys.executable, "-m", "benchmarks.track", name, kind, str(points)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def lost_after_a_kill() -> tuple[int, int]:
    """Return how many points of closed blocks are not in the file after kill -9, and how many were logged."""
    from acc.track import file

    with tempfile.TemporaryDirectory() as folder:
        loop = subprocess.Popen(
            [sys.executable, "-c", LOOP, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert loop.stdout is not None
        loop.stdout.readline()
        time.sleep(2)
        killed = time.time()
        loop.kill()
        logged = [line.split() for line in loop.communicate()[0].splitlines() if len(line.split()) == 2]
        closed = [int(step) for step, at in logged if float(at) < killed - CLOSED_SECONDS]
        kept: set[int] = set()
        from acc.journal import points_of

        for record in file.records(Path(folder) / "k.accrun"):
            if record.says == "points":
                kept |= set(points_of(record).steps.tolist())
    return len(set(closed) - kept), len(logged)


def main(arguments: list[str]) -> None:
    """Print the rows; with a name, a kind of values and a number of points only the figure of this process."""
    if arguments:
        print(json.dumps(measured(arguments[0], arguments[1], int(arguments[2]))))
        return
    names = [name for name, module in PEERS.items() if name == "acc" or importlib.util.find_spec(module)]
    rows: list[Row] = []
    for (kind, points), goal in GOALS.items():
        found: dict[str, list[float]] = {name: [] for name in names if kind == "floats" or name != "mlflow"}
        for _ in range(ROUNDS):
            for name, taken in found.items():
                taken.append(ask(name, kind, points))
        others: dict[str, Any] = {name: median(each) for name, each in found.items() if name != "acc"}
        told = ", ".join(f"{name} {value:.3g}" for name, value in others.items())
        rows.append(
            Row(
                f"track, us a point, {points} a call" + (", tensors" if kind == "tensors" else ""),
                median(found["acc"]),
                "us",
                goal,
                "lower",
                f"median of {CALLS} calls, {ROUNDS} rounds",
                told,
            )
        )
    lost, logged = lost_after_a_kill()
    rows.append(
        Row("track, lost of closed blocks after kill -9", lost, "points", 0, "lower", f"{logged} logged")
    )
    report(*rows)


if __name__ == "__main__":
    main(sys.argv[1:])

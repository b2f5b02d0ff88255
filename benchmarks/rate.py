"""Steps per second of a platform job over the bare loop of the same math, written without the platform.

The bare loop has the same network, losses, optimizer, batch size and images, and nothing else: no plugins, no
spec, no sink, no control, no checkpoint. Both use one thread and keep the memory that they free. They take turns, and
the medians are compared: for steps of a usual batch, and for small ones, of some 5 ms, which notice most what goes on
beside them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.platform_under_test import ROOT, digits, run_to_its_end, worker
from benchmarks.rows import Row, median, report

ROUNDS = 3
GOAL = 0.99
# Row -> images in a batch, and steps.
SIZES = {"platform job, steps/s": (64, 600), "platform job, steps/s, steps of 5 ms": (12, 2_000)}


def bare(
    dataset: Path, model_spec: dict[str, Any], weights: dict[str, float], batch: int, steps: int
) -> float:
    """Return steps per second of the loop that one would write by hand."""
    import torch

    from acc.data import AccDataset
    from acc.specs import ModelSpec
    from acc.training.settings import keep_freed_memory
    from benchmarks.bare_loop import BareLoop

    torch.set_num_threads(1)
    keep_freed_memory()
    torch.manual_seed(0)
    data = AccDataset.load(dataset, mmap=False)
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.targets["digit"])
    loop = BareLoop(ModelSpec.model_validate(model_spec), images, labels, weights)
    rows = torch.randperm(len(images))[: round(len(images) * 0.8)]
    history = []
    order, position = rows[torch.randperm(len(rows))], 0
    started = time.perf_counter()
    for _ in range(steps):
        if position + batch > len(order):
            order, position = rows[torch.randperm(len(rows))], 0
        history.append(loop.step(order[position : position + batch]))
        position += batch
    return steps / (time.perf_counter() - started)


def run_bare(dataset: Path, *plain: Any) -> float:
    """Return `bare` of a fresh process, as each platform job has one too."""
    command = [sys.executable, "-m", "benchmarks.rate", str(dataset), *map(json.dumps, plain)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure(name: str, branch: Any, batch: int, steps: int) -> Row:
    """Return the row of one size of steps, the two measured in turns."""
    from accsite.apps.datasets import selectors as datasets
    from accsite.apps.training.services import jobs

    path = datasets.local_path(branch.tasks.get(key="digit").dataset)
    weights = dict(branch.tasks.values_list("key", "weight"))
    bare_rates, platform_rates = [], []
    for round_ in range(ROUNDS):
        bare_rates.append(run_bare(path, branch.experiment.model_spec, weights, batch, steps))
        train = {"steps": steps, "batch_size": batch, "seed": round_, "threads": 1}
        job = run_to_its_end(jobs.submit_training(actor=None, branch=branch, train=train), every=0.5)
        platform_rates.append(float(job.result["steps_per_second"]))
        branch.refresh_from_db()
    ours, theirs = median(platform_rates), median(bare_rates)
    told = f"{ours:.1f} steps/s"
    baseline = f"bare loop {theirs:.1f} steps/s, {1000 / theirs:.1f} ms a step"
    return Row(name, ours / theirs, "x", GOAL, "higher", told, baseline)


def main() -> None:
    with digits() as (branch, home), worker("worker-train", home):
        for name, (batch, steps) in SIZES.items():
            report(measure(name, branch, batch, steps))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(bare(Path(sys.argv[1]), *map(json.loads, sys.argv[2:])))
    else:
        main()

"""A dataset of 737,280 x 64 x 64, 3 GB: trained from its file against held in memory, and evaluated, within bounds.

The file is made for the run and removed after it: shapes at every place, scale and turn in the order of the grid, so
that neighbours in it are alike. Both ways of training take turns in one process, and what is counted is CPU time, the
reading thread's with it. Memory is the peak of a process of its own, less what the same needs on a small dataset.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acc.data import AccDataset
from acc.evaluation import evaluate_checkpoint
from acc.specs import EvalSpec, ImageShape, ModelSpec, TargetSpec, TaskSpec, TrainJobSpec, TrainSpec
from acc.training.checkpoints.files import Snapshot
from acc.training.plugin_set import PluginSet
from acc.training.run import MemorySink
from acc.training.train_state import TrainState
from acc.training.trainer import Trainer
from benchmarks.rows import Row, median, report
from benchmarks.trainer_vs_bare_loop import shipped

GRID = {"shape": 3, "scale": 6, "turn": 40, "down": 32, "right": 32}
SIDE, SMALL = 64, 4_096
STEPS, ROUNDS, BATCH = 60, 7, 64
PEAK_STEPS, PEAK_BATCH = 160, 512  # ten windows
MIB = 2**20
GOAL_SPEED, GOAL_MIB = 0.95, 512.0


def write(folder: Path, n: int) -> None:
    """Write the dataset of the grid, and one of a few of its rows."""
    levels = tuple(GRID.values())
    pixels = np.lib.format.open_memmap(
        folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=(n, 1, SIDE, SIDE)
    )
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    places = levels[3] * levels[4]
    for piece, (shape, scale, turn) in enumerate(np.ndindex(*levels[:3])):
        angle, size, power = 2 * np.pi * turn / levels[2], 6 + scale, (1, 2, 8)[shape]
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        inside = (np.abs(along) / size) ** power + (np.abs(across) / (0.6 * size)) ** power <= 1
        drawn = inside.astype(np.uint8) * 255
        for place, (down, right) in enumerate(np.ndindex(*levels[3:])):
            row = piece * places + place
            pixels[row, 0] = np.roll(drawn, (down - levels[3] // 2, right - levels[4] // 2), (0, 1))
    columns = dict(zip(GRID, np.unravel_index(np.arange(n), levels), strict=True))
    specs = tuple(TargetSpec(name=name, kind="class", classes=count) for name, count in GRID.items())
    AccDataset(pixels, columns, specs).save(folder / "large")
    few = np.random.default_rng(0).permutation(n)[:SMALL]
    AccDataset(pixels[few], {name: column[few] for name, column in columns.items()}, specs).save(
        folder / "small"
    )
    (folder / "pixels.npy").unlink()


def job_on(dataset: AccDataset, **train: Any) -> tuple[PluginSet, TrainJobSpec]:
    """Return the shipped tasks, and a job of three of them on the dataset with a small convolutional model."""
    plugins = shipped()
    model = ModelSpec(
        architecture="ConvVAE",
        image=ImageShape(channels=1, height=SIDE, width=SIDE),
        latent_dim=10,
        params={"base_channels": 8, "depth": 3},
    )
    names = {"reconstruction": "ReconstructionTask", "kl": "KLDivergenceTask", "shape": "ClassificationTask"}
    tasks = tuple(
        TaskSpec(key=key, name=key, task_class=name, dataset="data", weight=0.01 if key == "kl" else 1.0)
        for key, name in names.items()
    )
    fields = {
        "steps": 1,
        "batch_size": BATCH,
        "device": "cpu",
        "threads": 1,
        "checkpoint_every_seconds": None,
    }
    job = TrainJobSpec(
        model=model,
        tasks=tasks,
        datasets={"data": dataset.spec("data")},
        train=TrainSpec(**{**fields, **train}),
    )
    return PluginSet(*plugins.classes("task").values()), job


def peak() -> float:
    """Return the most memory that this process has held so far, in MiB.

    Not ``ru_maxrss``: to a process that was just started that counts what its parent held, here 3 GB of pixels.
    """
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def run(dataset: AccDataset, **train: Any) -> Snapshot:
    classes, job = job_on(dataset, **train)
    sink = MemorySink()
    Trainer(job, {"data": dataset}, classes=classes, sink=sink).run()
    snapshot = sink.checkpoints[-1][0]
    assert isinstance(snapshot, Snapshot)
    return snapshot


def speed(folder: Path) -> dict[str, Any]:
    """Return for each round the steps per CPU second streamed and held in memory."""
    dataset = AccDataset.load(folder / "large")
    states = {}
    for way, gib in (("streamed", 0.0), ("resident", 100.0)):
        classes, job = job_on(dataset, resident_gib=gib, steps=10**6)
        states[way] = TrainState(job, {"data": dataset}, classes=classes)
    rates: dict[str, list[float]] = {way: [] for way in states}
    for round_ in range(ROUNDS + 1):
        for way in sorted(states, reverse=bool(round_ % 2)):
            with states[way].ready():
                states[way].make_step()
                began = time.process_time()
                for _ in range(STEPS):
                    states[way].make_step()
                rates[way].append(STEPS / (time.process_time() - began))
    return {way: found[1:] for way, found in rates.items()}  # the first round only warms up


def memory(folder: Path) -> dict[str, Any]:
    """Return what streaming adds to the peak of training on a small dataset, in MiB."""
    train = {"batch_size": PEAK_BATCH, "resident_gib": 0.5}
    run(AccDataset.load(folder / "small"), steps=20, **train)
    before = peak()
    snapshot = run(AccDataset.load(folder / "large"), steps=PEAK_STEPS, **train)
    assert snapshot.header.streamed == ("data",)
    return {"added": peak() - before}


def evaluation(folder: Path) -> dict[str, Any]:
    """Return what evaluating adds to the peak of evaluating a small dataset, in MiB."""
    spec = EvalSpec(device="cpu", suite=("metrics", "reconstructions", "traversals", "sort"), shown="worst")
    small, large = AccDataset.load(folder / "small"), AccDataset.load(folder / "large")
    checkpoint = run(small, steps=2).checkpoint()
    classes, _ = job_on(small)
    evaluate_checkpoint(checkpoint, {"data": small}, classes, spec)
    before = peak()
    began = time.perf_counter()
    found = evaluate_checkpoint(checkpoint, {"data": large}, classes, spec)
    return {"added": peak() - before, "rows": found.rows["data"], "seconds": time.perf_counter() - began}


def in_a_process(name: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.large_datasets", name, str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Write the file, measure and print the rows."""
    if len(sys.argv) == 3:
        torch.set_num_threads(1)
        parts = {"speed": speed, "memory": memory, "evaluation": evaluation}
        print(json.dumps(parts[sys.argv[1]](Path(sys.argv[2]))))
        return
    n = int(np.prod(list(GRID.values())))
    told = f"{n:,} x {SIDE} x {SIDE}"
    with tempfile.TemporaryDirectory(prefix="acc-bench-") as home:
        folder = Path(home)
        write(folder, n)
        added = in_a_process("memory", folder)["added"]
        report(Row("memory that streamed training adds", added, "MiB", GOAL_MIB, "lower", told))
        found = in_a_process("evaluation", folder)
        measured = f"{told}, {found['rows']}, {found['seconds']:.0f} s"
        report(Row("memory that an evaluation adds", found["added"], "MiB", GOAL_MIB, "lower", measured))
        rates = in_a_process("speed", folder)
    ratios = [ours / theirs for ours, theirs in zip(rates["streamed"], rates["resident"], strict=True)]
    measured = f"{median(rates['streamed']):.1f}, rounds {min(ratios):.3f} to {max(ratios):.3f}"
    baseline = f"held in memory {median(rates['resident']):.1f}"
    name = "streamed training, steps per CPU second"
    report(Row(name, median(ratios), "x", GOAL_SPEED, "higher", measured, baseline))


if __name__ == "__main__":
    main()

"""Steps per second and memory of one job on an NVIDIA GPU by each option of its passes, over plain float32.

Needs a GPU, so it is no part of `make bench`: `make bench-gpu`. Each option trains the same model on the same digits
from the same weights; the first steps of each, in which kernels are compiled and graphs recorded, do not count. Plain
float32 stands beside the bare loop of the same math, with the same kernels: deterministic ones, and no TF32.
"""

from __future__ import annotations

import gc
import time
from typing import Any

import torch

from acc.training.batch import IndexStream
from acc.training.protocols import PointBlock
from acc.training.run import MemorySink
from acc.training.settings import torch_settings
from acc.training.split import split_indices
from acc.training.trainer import Trainer
from benchmarks.bare_loop import BareLoop
from benchmarks.rows import Row, median, report
from benchmarks.trainer_vs_bare_loop import WEIGHTS, prepared

DEVICE = torch.device("cuda:0")
STEPS = 4000
BATCH = 256
ROUNDS = 3
OPTIONS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "channels last": {"channels_last": True},
    "compiled": {"compile": "default"},
    "CUDA graphs": {"compile": "reduce-overhead"},
    "CUDA graphs, bf16": {"compile": "reduce-overhead", "precision": "bf16"},
}


def measure(options: dict[str, Any]) -> tuple[float, float]:
    """Return steps per second over the later half of a run, and the most memory it held, in MiB."""
    dataset, classes, job = prepared()
    train = {"steps": STEPS, "batch_size": BATCH, "device": str(DEVICE), **options}
    job = job.model_copy(update={"train": job.train.model_copy(update=train)})
    fresh()
    sink = MemorySink()
    Trainer(job, {"digits": dataset}, classes=classes, sink=sink).run()
    # A block is fetched from the device, so its last step was done when it came.
    late: list[PointBlock] = [block for block in sink.blocks if block.start + block.count > STEPS // 2]
    steps = sum(block.count for block in late[1:])
    if not steps:
        raise SystemExit(f"{STEPS} steps were over before two blocks of points had come; raise STEPS")
    return steps / (late[-1].wall_end - late[0].wall_end), torch.cuda.max_memory_allocated() / 2**20


def fresh() -> None:
    """Let go of what the run before compiled and recorded, so that its memory is not counted as that of the next."""
    torch.compiler.reset()
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def bare() -> tuple[float, float]:
    """Return the same of the loop that one would write by hand."""
    dataset, _, job = prepared()
    fresh()
    images = torch.from_numpy(dataset.images).to(DEVICE)
    labels = torch.from_numpy(dataset.targets["digit"]).to(DEVICE)
    rows, _ = split_indices(dataset, seed=job.model.seed, val_fraction=job.train.val_fraction)
    stream = IndexStream(rows, seed=0, content_hash=dataset.content_hash, batch_size=BATCH, device=DEVICE)
    loop = BareLoop(job.model, images, labels, WEIGHTS)
    began = 0.0
    with torch_settings(DEVICE, 1):
        for step in range(STEPS):
            if step == STEPS // 2:
                torch.cuda.synchronize(DEVICE)
                began = time.perf_counter()
            loop.step(stream.next())
        torch.cuda.synchronize(DEVICE)
    rate = (STEPS - STEPS // 2) / (time.perf_counter() - began)
    return rate, torch.cuda.max_memory_allocated() / 2**20


def main() -> None:
    """Measure every option in turns and print a row for each."""
    if not torch.cuda.is_available():
        raise SystemExit(
            "this benchmark needs an NVIDIA GPU and a build of torch with CUDA; there is none here"
        )
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in OPTIONS}
    by_hand: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        by_hand.append(bare())
        for name, options in OPTIONS.items():
            found[name].append(measure(options))
    plain = median([rate for rate, _ in found["fp32"]])
    loop, held = median([rate for rate, _ in by_hand]), median([one for _, one in by_hand])
    told = f"{plain:.0f} steps/s"
    baseline = f"bare loop {loop:.0f} steps/s, {held:.0f} MiB, batch {BATCH}"
    report(Row("GPU, engine's trainer", plain / loop, "x", 0.98, "higher", told, baseline))
    for name, runs in found.items():
        rate, memory = median([one for one, _ in runs]), median([one for _, one in runs])
        said = f"{rate:.0f} steps/s, {memory:.0f} MiB"
        baseline = f"eager fp32 {plain:.0f} steps/s, batch {BATCH}, {torch.cuda.get_device_name(0)}"
        report(Row(f"GPU, {name}", rate / plain, "x", 1.0, "higher", said, baseline))


if __name__ == "__main__":
    main()

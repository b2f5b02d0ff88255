"""Steps per second and memory of one job on an NVIDIA GPU by each option of its passes, over plain float32.

Needs a GPU, so it is no part of `make bench`: `make bench-gpu`. Each option trains the same model on the same digits
from the same weights; the first steps of each, in which kernels are compiled and graphs recorded, do not count.
"""

from __future__ import annotations

from typing import Any

import torch

from acc.training.protocols import PointBlock
from acc.training.run import MemorySink
from acc.training.trainer import Trainer
from benchmarks.rows import Row, median, report
from benchmarks.trainer_vs_bare_loop import prepared

STEPS = 1500
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
    """Return steps per second over the second half of a run, and the most memory it held, in MiB."""
    dataset, classes, job = prepared()
    train = {"steps": STEPS, "batch_size": BATCH, "device": "cuda:0", **options}
    job = job.model_copy(update={"train": job.train.model_copy(update=train)})
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    sink = MemorySink()
    Trainer(job, {"digits": dataset}, classes=classes, sink=sink).run()
    # A block is fetched from the device, so its last step was done when it came.
    late: list[PointBlock] = [block for block in sink.blocks if block.start >= STEPS // 2]
    seconds = late[-1].wall_end - late[0].wall_end
    steps = sum(block.count for block in late[1:])
    return steps / seconds, torch.cuda.max_memory_allocated() / 2**20


def main() -> None:
    """Measure every option in turns and print a row for each."""
    if not torch.cuda.is_available():
        raise SystemExit(
            "this benchmark needs an NVIDIA GPU and a build of torch with CUDA; there is none here"
        )
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in OPTIONS}
    for _ in range(ROUNDS):
        for name, options in OPTIONS.items():
            found[name].append(measure(options))
    plain = median([rate for rate, _ in found["fp32"]])
    for name, runs in found.items():
        rate, memory = median([one for one, _ in runs]), median([one for _, one in runs])
        report(
            Row(
                name=f"GPU, {name}",
                value=rate / plain,
                unit="x",
                goal=1.0,
                better="higher",
                measured=f"{rate:.0f} steps/s, {memory:.0f} MiB",
                baseline=f"eager fp32 {plain:.0f} steps/s, batch {BATCH}, {torch.cuda.get_device_name(0)}",
            )
        )


if __name__ == "__main__":
    main()

"""Traversal grids of eight factor groups from the demo's model, beside one run of the decoder per cell.

What is timed is what a page asks for: 5 seeds x 9 steps of every group, along its first principal component over the
quantiles of encoded data, drawn and turned into pixels. The one encoding pass over the dataset that each of the two
needs is a row of its own. ``python -m benchmarks.traversals``
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from threadpoolctl import threadpool_limits

from acc.data import AccDataset
from acc.evaluation import FactoringEvaluator
from acc.evaluation.axes import axes, direction_at
from acc.evaluation.encoding import Encoded
from acc.evaluation.metrics.directions import STEPS
from acc.evaluation.traversals import SEEDS, moved_latents
from acc.training.run import train
from benchmarks.expansion import digits
from benchmarks.rows import Row, median, report

GROUPS, WIDTH = 8, 2
PIXELS = 32
REPEATS = 3


def seconds(action: Callable[[], object]) -> float:
    """Return the CPU time of one call: on one thread it is what a free core would take."""
    started = time.process_time()
    action()
    return time.process_time() - started


def enlarged(data: AccDataset) -> AccDataset:
    """Return the digits at the size that the demo trains on, 32 x 32."""
    images = data.images.repeat(PIXELS // data.images.shape[2], axis=2)
    return AccDataset(images.repeat(PIXELS // data.images.shape[3], axis=3), data.targets, data.target_specs)


def one_by_one(encoded: Encoded) -> None:
    """Draw the same cells, each by a run of the decoder of its own."""
    rows = encoded.examples(SEEDS, 0)
    start = encoded.posterior(rows)
    for axis in axes(encoded, "principal", None, ()):
        line, reason = direction_at(encoded, axis, STEPS)
        if line is None:
            raise SystemExit(f"no traversal of {axis.name}: {reason}")
        for latent in moved_latents(start, axis, line):
            encoded.decode(latent[None])


def main() -> None:
    """Train a few steps, so that each group moves, measure in turns, and print the rows."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        data = enlarged(digits())
        run = train(
            data,
            tasks=[
                {"task_class": "ReconstructionTask", "weight": 30},
                {"task_class": "KLDivergenceTask", "weight": 0.002},
            ],
            factors={f"factor{number}": WIDTH for number in range(GROUPS)},
            steps=20,
            batch_size=64,
            threads=1,
            device="cpu",
        )
        evaluator = FactoringEvaluator(run.checkpoint, data, device="cpu", rows="all")
        encoding = seconds(evaluator.encoded)
        encoded = evaluator.encoded()
        evaluator.traversals()
        ours, theirs = [], []
        for _ in range(REPEATS):
            ours.append(seconds(evaluator.traversals))
            with torch.inference_mode():
                theirs.append(seconds(lambda: one_by_one(encoded)))
    grids, singly = median(ours), median(theirs)
    cells = f"{GROUPS} groups x {SEEDS} seeds x 9 steps of {PIXELS} px"
    report(
        Row(f"traversal grids, {GROUPS} groups", grids, "CPU s", 1.0, "lower", cells),
        Row(
            name=f"traversal grids, {GROUPS} groups, with the encoding pass",
            value=grids + encoding,
            unit="CPU s",
            goal=1.0,
            better="lower",
            measured=f"{cells}; {len(encoded.rows):,} images encoded in {encoding:.2f} s",
        ),
        Row(
            name="traversal grids, drawn together",
            value=singly / grids,
            unit="x",
            goal=2.5,
            better="higher",
            measured=f"{grids * 1000:.0f} CPU ms",
            baseline=f"the decoder once per cell, {singly * 1000:.0f} CPU ms",
        ),
    )


if __name__ == "__main__":
    main()

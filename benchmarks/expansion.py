"""A one-layer model is trained, grown by identity and at random, and both are trained on: three seeds.

What counts is how many held-out digits are read from the code: before, right after, and after the same number of
further steps. ``python -m benchmarks.expansion``
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from acc.data import AccDataset
from acc.expansion import ExpansionSpec
from acc.plugins.shipped import shipped_plugins
from acc.specs import TargetSpec
from acc.training.checkpoints.expand import expand_checkpoint
from acc.training.run import train
from benchmarks.rows import Row, report

SEEDS = (0, 1, 2)
STEPS, FURTHER = 400, 800
TASKS: list[dict[str, Any]] = [
    {"task_class": "ReconstructionTask", "weight": 10},
    {"task_class": "ClassificationTask", "factor": "digit"},
]


def digits() -> AccDataset:
    """Return the bundled handwritten digits, 1,797 images of 8 x 8."""
    import numpy as np
    from sklearn.datasets import load_digits

    found = load_digits()
    images = (found.images[:, None] * 255 / 16).round().astype(np.uint8)
    return AccDataset(images, {"digit": found.target}, [TargetSpec(name="digit", kind="class", classes=10)])


def accuracy(run_or_state: Any, data: AccDataset) -> float:
    """Return the share of held-out digits that are read from the factor."""
    from acc.evaluation import evaluate_checkpoint

    metrics = evaluate_checkpoint(run_or_state, {"data": data}, shipped_plugins()).metrics
    return next(m.value for m in metrics if m.name == "accuracy" and m.value is not None)


def study(seed: int, data: AccDataset) -> dict[str, float]:
    """Return the accuracies of one seed: ``before``, and for each start right ``after`` and ``trained``."""
    options: dict[str, Any] = {"seed": seed, "batch_size": 64, "threads": 1, "device": "cpu", "lr": 2e-3}
    model = {"architecture": "Autoencoder", "params": {"base_channels": 2, "depth": 1}, "seed": seed}
    first = train(
        data, tasks=TASKS, model=model, factors={"digit": 4, "free": 4}, latent_dim=8, steps=STEPS, **options
    )
    found = {"before": accuracy(first.checkpoint, data)}
    for start in ("identity", "random"):
        spec = ExpansionSpec(where="encoder_stage", amount=2, start=start, seed=seed)
        grown = expand_checkpoint(first.checkpoint, spec, {"data": data}, shipped_plugins()).snapshot
        found[f"{start} after"] = accuracy(grown.checkpoint(), data)
        on = train(
            data, tasks=TASKS, model=grown.spec.model, start_from=grown.checkpoint(), steps=FURTHER, **options
        )
        found[f"{start} trained"] = accuracy(on.checkpoint, data)
    return found


def rows() -> Iterator[Row]:
    """Yield how much each start loses at once and gains in the end, of the worst seed."""
    data = digits()
    import torch

    torch.set_num_threads(1)
    found = [study(seed, data) for seed in SEEDS]
    told = "; ".join(
        f"seed {seed}: {', '.join(f'{name} {value:.3f}' for name, value in one.items())}"
        for seed, one in zip(SEEDS, found, strict=True)
    )
    before = "accuracy before, of the same seed"
    goals: tuple[tuple[str, float, float], ...] = (
        ("identity keeps", 0.0, min(one["identity after"] - one["before"] for one in found)),
        ("random drops by", 0.05, min(one["before"] - one["random after"] for one in found)),
        ("identity gains", 0.0, min(one["identity trained"] - one["before"] for one in found)),
        ("random gains", 0.0, min(one["random trained"] - one["before"] for one in found)),
    )
    for name, goal, value in goals:
        yield Row(f"expansion: {name}", value, "accuracy", goal, "higher", told, before)


if __name__ == "__main__":
    for row in rows():
        report(row)

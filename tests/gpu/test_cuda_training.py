"""Training on an NVIDIA GPU: the same engine, no host synchronisation per step, checkpoints that move."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from acc.tests.helpers import blobs
from acc.training.run import TrainRun, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU and a CUDA torch")
TASKS: list[dict[str, Any]] = [
    {"task_class": "ReconstructionTask"},
    {"task_class": "KLDivergenceTask", "weight": 0.001},
    {"task_class": "ClassificationTask", "factor": "digit"},
]


def run(steps: int, **options: Any) -> TrainRun:
    return train(blobs(256), tasks=TASKS, factors={"digit": 3, "size": 2, "free": 3}, steps=steps, **options)


def test_a_job_on_the_gpu_learns():
    result = run(300, device="cuda:0")
    history = result.history["raw/reconstruction"]
    assert history[-1] < 0.5 * history[0]
    assert next(result.model.parameters()).device.type == "cuda"
    assert result.checkpoint.header.device.startswith("cuda")


def test_a_step_does_not_wait_for_the_gpu():
    run(5, device="cuda:0")  # kernels are loaded at their first use
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run(400, device="cuda:0", checkpoint_every_seconds=None)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = [item for item in caught if "synchroniz" in str(item.message)]
    # Set-up, a fetch per block and the last checkpoint wait; a wait per step would be at least 400.
    assert len(waits) < 200


def test_a_checkpoint_made_on_the_gpu_goes_on_on_the_cpu():
    first = run(50, device="cuda:0")
    second = run(10, device="cpu", start_from=first.checkpoint)
    assert second.result.global_step == 60
    assert second.losses["reconstruction"] < first.history["raw/reconstruction"][0]

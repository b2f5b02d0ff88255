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


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"channels_last": True},
        {"compile": "default"},
        {"compile": "reduce-overhead"},
        {"compile": "reduce-overhead", "precision": "fp16", "accumulate": 2},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_each_option_learns_what_plain_float32_learns(options: dict[str, Any]):
    plain, other = run(200, device="cuda:0"), run(200, device="cuda:0", **options)
    first = plain.history["raw/reconstruction"][0]
    assert other.losses["reconstruction"] < 0.5 * first
    assert other.losses["reconstruction"] == pytest.approx(plain.losses["reconstruction"], rel=0.5)
    assert all(tensor.dtype == torch.float32 for tensor in other.model.parameters())


def test_auto_is_bfloat16_where_the_gpu_computes_it():
    native = torch.cuda.get_device_capability(0) >= (8, 0)
    assert run(2, device="cuda:0", precision="auto").checkpoint.header.precision == (
        "bf16" if native else "fp32"
    )


def test_replayed_graphs_leave_nothing_of_one_step_in_the_next():
    """A loss that pointed into a graph's memory would show the last step's value in every step of its block."""
    plain, graphs = run(60, device="cuda:0"), run(60, device="cuda:0", compile="reduce-overhead")
    one, other = plain.history["raw/reconstruction"], graphs.history["raw/reconstruction"]
    assert other[:20] == pytest.approx(one[:20], rel=1e-2)

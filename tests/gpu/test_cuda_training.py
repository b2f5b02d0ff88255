"""Training on an NVIDIA GPU: the same engine, the same results, checkpoints that move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acc.tests import helpers
from acc.tests.helpers import blobs
from acc.training.checkpoints.files import Checkpoint, load
from acc.training.run import TrainRun, train
from acc.training.settings import torch_settings
from tests.gpu.machine import GPU, NEEDS_GPU, NEEDS_TWO

pytestmark = [NEEDS_GPU, pytest.mark.timeout(600)]
TASKS: list[dict[str, Any]] = [
    {"task_class": "ReconstructionTask"},
    {"task_class": "KLDivergenceTask", "weight": 0.001},
    {"task_class": "ClassificationTask", "factor": "digit"},
]


def run(steps: int, **options: Any) -> TrainRun:
    fields: dict[str, Any] = {"factors": {"digit": 3, "size": 2, "free": 3}, "device": GPU, **options}
    return train(blobs(256), tasks=TASKS, steps=steps, **fields)


def trained(**options: Any) -> tuple[Checkpoint, Checkpoint]:
    """Return the checkpoints of six steps, and of three of them and three more."""
    data = {"data": blobs(120)}
    spec = helpers.job(data, **{"steps": 6, "device": GPU, "checkpoint_every_steps": 3, **options})
    _, sink = helpers.run(spec, data)
    _, resumed = helpers.run(spec, data, resume_from=sink.at(3).checkpoint())
    return sink.last.checkpoint(), resumed.last.checkpoint()


def test_a_job_on_the_gpu_learns() -> None:
    result = run(300)
    history = result.history["raw/reconstruction"]
    assert history[-1] < 0.5 * history[0]
    assert next(result.model.parameters()).device.type == "cuda"
    assert result.checkpoint.header.device.startswith("cuda")


def test_a_convolution_is_not_rounded_to_tf32() -> None:
    x, weight = (torch.randn(32, 32, side, side, device=GPU) for side in (16, 3))
    with torch_settings(torch.device(GPU), 1):
        found = torch.nn.functional.conv2d(x, weight)
        exact = torch.nn.functional.conv2d(x.double(), weight.double())
    assert float((found - exact).abs().max() / exact.abs().max()) < 1e-5  # TF32: above 1e-4


def test_float32_is_that_of_the_cpu() -> None:
    """Of a code without noise, since each kind of device draws its own."""
    model = {"architecture": "Autoencoder", "params": {"base_channels": 8, "depth": 2}}
    tasks = [{"task_class": "ReconstructionTask"}, {"task_class": "ClassificationTask", "factor": "digit"}]
    options: dict[str, Any] = {
        "tasks": tasks,
        "model": model,
        "factors": {"digit": 8},
        "steps": 10,
        "optimizer": "sgd",
        "lr": 0.01,
    }
    cpu, gpu = (train(blobs(256), device=device, **options) for device in ("cpu", GPU))
    for name in ("raw/reconstruction", "raw/classification"):
        assert gpu.history[name] == pytest.approx(cpu.history[name], rel=1e-4), name
    for name, tensor in cpu.checkpoint.part("model").items():
        torch.testing.assert_close(gpu.checkpoint.part("model")[name], tensor, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "sgd", "lr": 1e-2, "grad_clip_norm": 1.0},
        {"channels_last": True},
        {"accumulate": 3},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"on_nan": "skip", "schedule": "sampled"},
        {"model": helpers.model_spec("ConvVAE"), "channels_last": True},
        {
            "model": helpers.model_spec(params={"bottleneck": "spatial"}),
            "accumulate": 2,
            "channels_last": True,
        },
        {"compile": "default"},
        {"compile": "reduce-overhead"},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_a_resumed_job_ends_as_an_undisturbed_one_to_the_bit(options: dict[str, Any]) -> None:
    whole, resumed = trained(**options)
    assert whole.tensors.keys() == resumed.tensors.keys()
    assert {"rng.cuda", "rng.torch"} <= whole.tensors.keys()
    different = [
        name for name in whole.tensors if not torch.equal(whole.tensors[name], resumed.tensors[name])
    ]
    assert not different


def test_the_same_seed_gives_the_same_bits_whatever_was_drawn_before() -> None:
    first = run(20).checkpoint
    torch.randn(7, device=GPU)
    second = run(20).checkpoint
    assert [
        name for name in first.tensors if not torch.equal(first.tensors[name], second.tensors[name])
    ] == []


def test_the_caller_s_random_numbers_are_kept() -> None:
    torch.cuda.manual_seed(3)
    expected = torch.randn(5, device=GPU)
    torch.cuda.manual_seed(3)
    run(3)
    assert torch.equal(torch.randn(5, device=GPU), expected)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize(("first", "second"), [(GPU, "cpu"), ("cpu", GPU)])
def test_a_checkpoint_goes_on_on_the_other_kind(
    first: str, second: str, optimizer: str, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"optimizer": optimizer, "lr": 2e-3, "channels_last": True}
    before = run(50, device=first, **options)
    before.save(tmp_path / "made")
    after = run(30, device=second, start_from=load(tmp_path / "made"), **options)
    assert after.result.global_step == 80
    assert np.isfinite(after.history["total"]).all()
    assert after.losses["reconstruction"] < before.history["raw/reconstruction"][0]
    again = run(30, device=second, start_from=load(tmp_path / "made"), **options)
    assert again.losses == after.losses, "the seed stands in for a random state that the other kind had not"


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"channels_last": True},
        {"accumulate": 2},
        {"compile": "default"},
        {"compile": "reduce-overhead"},
        {"compile": "max-autotune"},
        {"compile": "reduce-overhead", "channels_last": True},
        {"compile": "reduce-overhead", "precision": "bf16", "grad_clip_norm": 1.0},
        {"compile": "reduce-overhead", "precision": "fp16", "accumulate": 2},
        {"compile": "reduce-overhead", "schedule": "sampled"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_each_option_learns_what_plain_float32_learns(options: dict[str, Any]) -> None:
    kept = {name: options[name] for name in ("schedule",) if name in options}
    plain, other = run(200, **kept), run(200, **options)
    first = np.nanmax(plain.history["raw/reconstruction"][:5])
    assert other.losses["reconstruction"] < 0.6 * first
    assert other.losses["reconstruction"] == pytest.approx(plain.losses["reconstruction"], rel=0.5)
    assert all(tensor.dtype == torch.float32 for tensor in other.model.parameters())


def test_auto_is_bfloat16_where_the_gpu_computes_it() -> None:
    native = torch.cuda.get_device_capability(0) >= (8, 0)
    assert run(2, precision="auto").checkpoint.header.precision == ("bf16" if native else "fp32")


@pytest.mark.parametrize("accumulate", [1, 3])
def test_replayed_graphs_leave_nothing_of_one_step_in_the_next(accumulate: int) -> None:
    """A loss that pointed into a graph's memory would show the last step's value in every step of its block.

    A gradient that did would be added to itself.
    """
    options: dict[str, Any] = {"optimizer": "sgd", "lr": 1e-2, "accumulate": accumulate}
    plain, graphs = run(60, **options), run(60, compile="reduce-overhead", **options)
    for name in ("raw/reconstruction", "raw/kldivergence", "grad_norm"):
        one, other = plain.history[name], graphs.history[name]
        there = ~np.isnan(one)
        assert other[there] == pytest.approx(one[there], rel=1e-2), name
    assert len(set(graphs.history["raw/reconstruction"].tolist())) > 50


def test_a_task_that_comes_and_goes_gets_graphs_of_its_own() -> None:
    script = helpers.Script(
        {
            5: [("add_task", {"task": helpers.task("regression", factor="size").model_dump()})],
            12: [("remove_task", {"task": "regression"})],
        }
    )
    data = {"data": blobs(120)}
    spec = helpers.job(
        data,
        [helpers.task("reconstruction"), helpers.task("kl", weight=0.01)],
        steps=20,
        device=GPU,
        compile="reduce-overhead",
    )
    trainer, sink = helpers.run(spec, data, control=script)
    assert trainer.step == 20
    assert all(result.ok for result in sink.commands)
    assert np.isfinite(sink.history()["raw/reconstruction"]).all()


@NEEDS_TWO
def test_a_job_of_the_second_gpu_leaves_the_first_alone_and_goes_on_there() -> None:
    torch.cuda.synchronize(0)
    torch.cuda.reset_peak_memory_stats(0)
    before = torch.cuda.memory_allocated(0)
    data = {"data": blobs(120)}
    spec = helpers.job(data, steps=6, device="cuda:1", checkpoint_every_steps=3)
    _, sink = helpers.run(spec, data)
    assert torch.cuda.max_memory_allocated(0) == before
    assert torch.cuda.current_device() == 0
    if torch.cuda.get_device_name(0) == torch.cuda.get_device_name(1):
        _, moved = helpers.run(spec, data, resume_from=sink.at(3).checkpoint(), device=GPU)
        names = sink.last.tensors
        assert not [name for name in names if not torch.equal(names[name], moved.last.tensors[name])]

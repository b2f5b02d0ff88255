"""Precision, memory format, compilation and accumulation change how a step is computed, not what is learned."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch

from acc.data import AccDataset
from acc.errors import InvalidInput
from acc.specs import TrainSpec, parse
from acc.tests import helpers
from acc.training import passes

CPU = torch.device("cpu")


def weights(dataset: AccDataset, **train: Any) -> dict[str, torch.Tensor]:
    _, sink = helpers.run(helpers.job({"data": dataset}, **train), {"data": dataset})
    return {
        name: tensor for name, tensor in sink.last.tensors.items() if name.startswith(("model.", "head."))
    }


def furthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_lower_precision_computes_the_passes_and_keeps_weights_of_float32(
    dataset: AccDataset, precision: str
) -> None:
    plain, lower = weights(dataset, lr=1e-3), weights(dataset, lr=1e-3, precision=precision)
    assert all(tensor.dtype == torch.float32 for tensor in lower.values() if tensor.is_floating_point())
    assert 0 < furthest(plain, lower) < 0.05


def test_auto_is_float32_on_the_cpu(dataset: AccDataset) -> None:
    assert passes.precision_on(CPU, "auto") == "fp32"
    assert furthest(weights(dataset), weights(dataset, precision="auto")) == 0


def test_the_loss_scale_goes_on_where_the_checkpoint_stood(dataset: AccDataset) -> None:
    spec = helpers.job({"data": dataset}, steps=6, precision="fp16", checkpoint_every_steps=3)
    _, sink = helpers.run(spec, {"data": dataset})
    assert {"scaler.scale", "scaler.growth"} <= sink.at(3).tensors.keys()
    _, resumed = helpers.run(spec, {"data": dataset}, resume_from=sink.at(3).checkpoint())
    for name, tensor in sink.last.tensors.items():
        assert torch.equal(tensor, resumed.last.tensors[name]), name
    assert sink.last.header.precision == "fp16"


def test_channels_last_learns_the_same(dataset: AccDataset) -> None:
    plain, other = (
        weights(dataset, optimizer="sgd", lr=1e-2),
        weights(dataset, optimizer="sgd", lr=1e-2, channels_last=True),
    )
    assert furthest(plain, other) < 1e-5


@pytest.mark.parametrize("option", [{"channels_last": True}, {"accumulate": 3}, {"precision": "bf16"}])
def test_an_option_resumes_to_the_bit(dataset: AccDataset, option: dict[str, Any]) -> None:
    spec = helpers.job({"data": dataset}, steps=6, checkpoint_every_steps=3, **option)
    _, sink = helpers.run(spec, {"data": dataset})
    _, resumed = helpers.run(spec, {"data": dataset}, resume_from=sink.at(3).checkpoint())
    for name, tensor in sink.last.tensors.items():
        assert torch.equal(tensor, resumed.last.tensors[name]), name


def test_accumulated_batches_are_one_of_so_many_times_the_size(dataset: AccDataset) -> None:
    options: dict[str, Any] = {"optimizer": "sgd", "lr": 1e-2, "steps": 5}
    whole = weights(dataset, batch_size=24, **options)
    parts = weights(dataset, batch_size=8, accumulate=3, **options)
    assert furthest(whole, parts) < 1e-6


@pytest.mark.parametrize("mode", sorted(passes.GRAPHS))
def test_cuda_graphs_on_a_cpu_are_refused_with_what_would_be_right(mode: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        passes.check(parse(TrainSpec, {"steps": 1, "compile": mode}), CPU)
    assert "need an NVIDIA GPU; on cpu use 'default' or 'off'" in str(caught.value.fields["compile"])


def test_compiling_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(InvalidInput) as caught:
        passes.check(TrainSpec(steps=1, compile="default"), CPU)
    assert "needs a C++ compiler" in str(caught.value.fields["compile"])


def test_more_ranks_than_rows_are_refused_by_name() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(TrainSpec, {"steps": 1, "batch_size": 2, "ranks": 4})
    assert "4 ranks cannot share batches of 2" in str(caught.value.fields["ranks"])


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_a_compiled_network_learns_the_same(dataset: AccDataset) -> None:
    options: dict[str, Any] = {"optimizer": "sgd", "lr": 1e-2, "steps": 3}
    assert furthest(weights(dataset, **options), weights(dataset, compile="default", **options)) < 1e-4

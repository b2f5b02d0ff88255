"""float32 means float32: TF32 is off while a GPU trains or is measured on, and as it was afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from acc.training.settings import CUBLAS_WORKSPACE, exact_convolutions, torch_settings

cudnn: Any = torch.backends.cudnn


def precisions() -> tuple[str, str]:
    return cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision


@pytest.fixture(params=["tf32", "ieee", "none"])
def before(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    first = precisions()
    cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = request.param, "tf32"
    yield request.param, "tf32"
    cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = first


def test_convolutions_are_exact_within_and_as_they_were_afterwards(before: tuple[str, str]) -> None:
    with exact_convolutions():
        assert "tf32" not in precisions()
        assert cudnn.allow_tf32 is False  # raises where torch's two ways to say it are mixed
    assert precisions() == before


def test_an_operation_without_a_deterministic_kernel_raises_on_the_cpu_and_warns_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    for device, warns in (("cpu", False), ("meta", True)):
        with torch_settings(torch.device(device), 1):
            assert torch.are_deterministic_algorithms_enabled()
            assert torch.is_deterministic_algorithms_warn_only_enabled() is warns
    assert not torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == CUBLAS_WORKSPACE
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")

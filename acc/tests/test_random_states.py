"""Random states belong to a job: a checkpoint keeps those of its device, and not of a number in a machine."""

from __future__ import annotations

import pytest
import torch

from acc import rng

GPU = torch.device("cuda:2")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> dict[int, torch.Tensor]:
    """Stand in for the generators of three GPUs; no more of CUDA is needed to carry their states about."""
    states = {index: torch.tensor([index], dtype=torch.uint8) for index in range(3)}

    def number(device: torch.device | int) -> int:
        return device if isinstance(device, int) else device.index

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(states))
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: states[number(device)])
    monkeypatch.setattr(
        torch.cuda, "set_rng_state", lambda state, device: states.__setitem__(number(device), state)
    )
    return states


def test_the_state_of_a_gpu_moves_to_another(gpus: dict[int, torch.Tensor]) -> None:
    held = rng.capture(GPU)
    assert held["cuda"].item() == 2
    assert "cuda.0" not in held
    rng.restore(held, torch.device("cuda:0"))
    assert [state.item() for state in gpus.values()] == [2, 1, 2]
    rng.restore(held, torch.device("cpu"))
    assert [state.item() for state in gpus.values()] == [2, 1, 2]


def test_the_states_of_all_gpus_go_back_where_they_were(gpus: dict[int, torch.Tensor]) -> None:
    with rng.preserved():
        gpus[1] = torch.tensor([9], dtype=torch.uint8)
    assert [state.item() for state in gpus.values()] == [0, 1, 2]


def test_a_job_of_the_cpu_keeps_none_of_a_gpu(gpus: dict[int, torch.Tensor]) -> None:
    assert not [name for name in rng.capture(torch.device("cpu")) if name.startswith("cuda")]

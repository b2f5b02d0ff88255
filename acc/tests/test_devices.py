"""Only devices that exist are offered; any other is refused with those that do."""

from __future__ import annotations

import pytest
import torch

from acc.errors import InvalidInput
from acc.training.devices import DeviceManager


def test_the_cpu_is_always_there_with_its_memory() -> None:
    cpu = DeviceManager().devices()[0]
    assert (cpu.name, cpu.kind) == ("cpu", "cpu")
    assert 0 < cpu.free_bytes <= cpu.memory_bytes
    assert cpu.threads == torch.get_num_threads()


def test_every_listed_device_resolves_to_itself_and_auto_to_one_of_them() -> None:
    manager = DeviceManager()
    assert [device.name for device in manager.devices()] == manager.names()
    assert all(manager.resolve(name) == name for name in manager.names())
    assert manager.resolve("auto") in manager.names()


def test_a_device_that_is_not_there_is_refused_naming_those_that_are() -> None:
    names = ", ".join(DeviceManager().names())
    with pytest.raises(InvalidInput) as refused:
        DeviceManager().resolve("cuda:63")
    assert refused.value.fields == {
        "device": [f"'cuda:63' is not on this machine; it has: {names} (or 'auto')"]
    }


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_is_refused_where_there_is_none() -> None:
    with pytest.raises(InvalidInput, match="'cuda' is not on this machine; it has: cpu"):
        DeviceManager().resolve("cuda")

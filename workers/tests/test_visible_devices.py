"""cuda:<n> is the GPU that torch means by it, whichever the driver's own number is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from workers.machine import devices

UUIDS = [b"GPU-aa0", b"GPU-ab1", b"GPU-b2", b"GPU-b3"]


def driver() -> Any:
    """Return what answers as NVML of a machine with four GPUs, since none is at hand: handles are its numbers."""

    def part(uuid: str) -> str:
        if uuid != "MIG-one":
            raise RuntimeError
        return "part"

    def unknown(handle: Any) -> Any:
        raise RuntimeError

    return SimpleNamespace(
        NVMLError=RuntimeError,
        NVML_TEMPERATURE_GPU=0,
        nvmlDeviceGetCount=lambda: len(UUIDS),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetHandleByUUID=part,
        nvmlDeviceGetUUID=lambda handle: UUIDS[handle],
        nvmlDeviceGetName=lambda handle: f"gpu {handle}",
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=0 if handle == 3 else 10, total=20),
        nvmlDeviceGetUtilizationRates=unknown,
        nvmlDeviceGetTemperature=lambda handle, kind: 40.0,
    )


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (None, ["gpu 0", "gpu 1", "gpu 2", "gpu 3"]),
        ("2,1", ["gpu 2", "gpu 1"]),
        ("GPU-ab, GPU-b3", ["gpu 1", "gpu 3"]),
        ("MIG-one", ["gpu part"]),
        ("0,9,1", ["gpu 0"]),
        ("GPU-b", []),
        ("MIG-other", []),
        ("-1", []),
        ("", []),
    ],
)
def test_gpus_are_those_that_cuda_shows_in_its_order(
    monkeypatch: pytest.MonkeyPatch, said: str | None, shown: list[str]
) -> None:
    monkeypatch.setattr(devices, "_nvml", driver)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if said is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", said)
    found = devices.gpus()
    assert [gpu.name for gpu in found] == shown
    assert [gpu.index for gpu in found] == list(range(len(shown)))
    assert [devices.gpu(f"cuda:{index}") for index in range(len(shown) + 1)] == [*found, None]


def test_auto_is_the_freest_of_those_that_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_nvml", driver)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    assert devices.resolve("auto", cuda=True) == "cuda:1"

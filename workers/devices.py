"""The device a worker is bound to, and what the NVIDIA driver says of it. Imports no torch, to stay small."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from acc.errors import InvalidInput

_NAME = re.compile(r"auto|cpu|cuda(:\d+)?")


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU as its driver sees it now. Percentages are 0 to 100; temperature in degrees Celsius."""

    index: int
    name: str
    memory_used_bytes: int
    memory_total_bytes: int
    utilisation_percent: float | None
    temperature_celsius: float | None


def gpus() -> list[Gpu]:
    """Return the NVIDIA GPUs of this machine; none without a driver."""
    nvml = _nvml()
    return [] if nvml is None else [_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]


def gpu(device: str) -> Gpu | None:
    """Return the GPU named ``cuda:<n>``; None for the CPU or one that is not there."""
    nvml = _nvml() if device.startswith("cuda:") else None
    index = int(device.partition(":")[2] or 0)
    return _gpu(nvml, index) if nvml is not None and index < nvml.nvmlDeviceGetCount() else None


def resolve(wanted: str, *, cuda: bool) -> str:
    """Return the device that a worker asked for as ``wanted`` is bound to: ``cpu`` or ``cuda:<n>``.

    ``auto`` is the GPU with most free memory, or the CPU; ``cuda`` the same, and never the CPU. The flag
    ``cuda`` says whether the installed torch can use one. Raises InvalidInput (device) naming what there is.
    """
    found = gpus() if cuda else []
    names = ["cpu", *(f"cuda:{each.index}" for each in found)]
    best = max(found, key=lambda each: each.memory_total_bytes - each.memory_used_bytes, default=None)
    if wanted in {"auto", "cuda"} and best is not None:
        return f"cuda:{best.index}"
    if wanted == "auto":
        return "cpu"
    if wanted in names:
        return wanted
    if not _NAME.fullmatch(wanted):
        raise InvalidInput({"device": f"{wanted!r} is no device; use auto, cpu, cuda or cuda:<n>"})
    hint = "" if cuda else "; the installed torch is a build without CUDA"
    raise InvalidInput({"device": f"{wanted!r} is not on this machine; it has: {', '.join(names)}{hint}"})


@lru_cache(maxsize=1)
def _nvml() -> Any:
    """Return the driver's library, initialised; None where there is none."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no package, no driver, no permission: all mean that no GPU can be asked
        return None
    return pynvml


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    name = nvml.nvmlDeviceGetName(handle)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    used = temperature = None
    # Virtual GPUs and partitions answer some questions only.
    with suppress(nvml.NVMLError):
        used = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    with suppress(nvml.NVMLError):
        temperature = float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
    return Gpu(
        index=index,
        name=name.decode() if isinstance(name, bytes) else name,
        memory_used_bytes=int(memory.used),
        memory_total_bytes=int(memory.total),
        utilisation_percent=used,
        temperature_celsius=temperature,
    )

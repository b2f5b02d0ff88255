"""The device a worker is bound to, and what the NVIDIA driver says of it. Imports no torch, to stay small.

``cuda:<n>`` is torch's: the n-th of the GPUs that ``CUDA_VISIBLE_DEVICES`` leaves, if it is set. The driver knows
nothing of that, so its own numbers are translated; both count by PCI bus, which ``serve`` of a worker sees to.
"""

from __future__ import annotations

import os
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
    """Return the NVIDIA GPUs that a job here can use; none without a driver."""
    nvml = _nvml()
    if nvml is None:
        return []
    return [_gpu(nvml, handle, index) for index, handle in enumerate(_visible(nvml))]


def gpu(device: str) -> Gpu | None:
    """Return the GPU named ``cuda:<n>``; None for the CPU or one that is not there."""
    nvml = _nvml() if device.startswith("cuda:") else None
    if nvml is None:
        return None
    index, handles = int(device.partition(":")[2] or 0), _visible(nvml)
    return _gpu(nvml, handles[index], index) if index < len(handles) else None


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


def _visible(nvml: Any) -> list[Any]:
    """Return the driver's handles of the GPUs that CUDA shows, in its order.

    ``CUDA_VISIBLE_DEVICES`` names them by number or by the beginning of their UUID; CUDA takes those before the first
    that does not exist.
    """
    every = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is None:
        return every
    found: list[Any] = []
    for word in (word.strip() for word in said.split(",")):
        if word.isdecimal():
            named = every[int(word) : int(word) + 1]
        elif word.startswith("MIG-"):  # a part of a GPU has a handle of its own
            named = []
            with suppress(nvml.NVMLError):
                named = [nvml.nvmlDeviceGetHandleByUUID(word)]
        else:
            named = [handle for handle in every if word and _uuid(nvml, handle).startswith(word)]
        if len(named) != 1:
            break
        found += named
    return found


def _uuid(nvml: Any, handle: Any) -> str:
    uuid = nvml.nvmlDeviceGetUUID(handle)
    return uuid.decode() if isinstance(uuid, bytes) else str(uuid)


def _gpu(nvml: Any, handle: Any, index: int) -> Gpu:
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

"""The devices of this machine: which there are, what they hold, and which one a name means."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

import torch

from acc.errors import InvalidInput


@dataclass(frozen=True)
class Device:
    """One device. name: ``cpu`` or ``cuda:<n>``. memory_bytes: all it has, free or not; 0 if unknown."""

    name: str
    kind: str
    label: str
    memory_bytes: int
    free_bytes: int
    threads: int = 0


class DeviceManager:
    """Lists the devices that exist, and resolves what a job asks for."""

    def devices(self) -> list[Device]:
        """Return the CPU and every CUDA device, in this order."""
        return [self._cpu(), *(self._cuda(index) for index in range(self._cuda_count()))]

    def names(self) -> list[str]:
        """Return the names of the devices that exist, without asking them anything more."""
        return ["cpu", *(f"cuda:{index}" for index in range(self._cuda_count()))]

    def resolve(self, wanted: str) -> str:
        """Return the name of the device meant by ``wanted``: ``auto``, ``cpu``, ``cuda`` or ``cuda:<n>``.

        ``auto`` is the CUDA device with most free memory, or the CPU; ``cuda`` the same, and never the CPU.
        Raises InvalidInput (device) naming the devices that exist.
        """
        if wanted == "cpu":
            return wanted  # without waking the driver of a GPU
        names = self.names()
        if wanted in {"auto", "cuda"}:
            gpus = names[1:]
            if len(gpus) > 1:  # to ask a GPU what is free costs some of its memory, so one alone is not asked
                return max(map(self._cuda, range(len(gpus))), key=lambda device: device.free_bytes).name
            if gpus:
                return gpus[0]
            if wanted == "auto":
                return "cpu"
        elif wanted in names:
            return wanted
        raise InvalidInput(
            {"device": f"{wanted!r} is not on this machine; it has: {', '.join(names)} (or 'auto')"}
        )

    @staticmethod
    def _cuda_count() -> int:
        return torch.cuda.device_count() if torch.cuda.is_available() else 0

    @staticmethod
    def _cuda(index: int) -> Device:
        free, total = torch.cuda.mem_get_info(index)
        return Device(f"cuda:{index}", "cuda", torch.cuda.get_device_name(index), total, free)

    @staticmethod
    def _cpu() -> Device:
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
        label = platform.processor() or platform.machine()
        return Device("cpu", "cpu", label, total, free, threads=torch.get_num_threads())

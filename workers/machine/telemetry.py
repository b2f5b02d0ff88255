"""How a worker's machine and device are doing, as its heartbeat tells."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from workers.machine import devices

Figures = dict[str, str | int | float]
"""Names end in their unit: ``_bytes``, ``_percent`` (0 to 100), ``_celsius``."""


class Telemetry:
    """Reads the figures of one device; processor use is that since the reading before."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._processor = processor_name()
        self._ticks = cpu_ticks()

    def read(self) -> Figures:
        """Return name, utilisation, memory and, of a GPU, temperature; of the host, load and memory."""
        memory = memory_bytes()
        ticks, before = cpu_ticks(), self._ticks
        self._ticks = ticks
        total = ticks[1] - before[1]
        host: Figures = {
            "cpu_percent": round(100 * (ticks[0] - before[0]) / total, 1) if total > 0 else 0.0,
            "load": round(os.getloadavg()[0], 2),
            "cores": len(os.sched_getaffinity(0)),
            "gpus": len(devices.gpus()),
            "host_memory_used_bytes": memory["MemTotal"] - memory["MemAvailable"],
            "host_memory_total_bytes": memory["MemTotal"],
        }
        gpu = devices.gpu(self.device)
        if gpu is None:
            return {"device_name": self._processor, **host}
        figures: Figures = {
            "device_name": gpu.name,
            "memory_used_bytes": gpu.memory_used_bytes,
            "memory_total_bytes": gpu.memory_total_bytes,
        }
        if gpu.utilisation_percent is not None:
            figures["utilisation_percent"] = gpu.utilisation_percent
        if gpu.temperature_celsius is not None:
            figures["temperature_celsius"] = gpu.temperature_celsius
        return {**figures, **host}


def cpu_ticks() -> tuple[int, int]:
    """Return (busy, all) clock ticks of every core of this machine since it started."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, idle, iowait, irq, softirq, steal = (int(field) for field in fields)
    busy = user + nice + system + irq + softirq + steal
    return busy, busy + idle + iowait


def memory_bytes() -> dict[str, int]:
    """Return /proc/meminfo in bytes: MemTotal, MemAvailable and more."""
    found = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        found[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return found


def processor_name() -> str:
    """Return the processor's name as the kernel has it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()

"""How a worker's machine and device are doing, as its heartbeat tells."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workers.machine import devices

Figures = dict[str, Any]
"""Names end in their unit: ``_bytes``, ``_percent`` (0 to 100), ``_celsius``; and ``history``, see ``History``."""
Means = dict[str, list[float | None]]
HISTORY_SECONDS = 15
HISTORY_KEPT = 60
"""So many means, of HISTORY_SECONDS each, are told of: a quarter of an hour."""
SHARES = {"memory_percent": "memory", "host_memory_percent": "host_memory"}
TOLD = ("utilisation_percent", "cpu_percent", "temperature_celsius")


class History:
    """How the figures of a device were in the last quarter of an hour.

    A list for each: its mean in every 15 seconds, oldest first, the one that is not over yet last; None where there
    was no reading.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._at = now()
        self._means: Means = {}
        self._counts: dict[str, int] = {}
        self._length = 0

    def add(self, figures: Figures) -> Means:
        """Take figures that were read now; return the history with them."""
        over = int((self._now() - self._at) // HISTORY_SECONDS)
        self._at += over * HISTORY_SECONDS
        for _ in range(min(over, HISTORY_KEPT) if self._length else 1):
            self._begin()
        for name, value in _drawn(figures).items():
            values = self._means.setdefault(name, [None] * self._length)
            count = self._counts.get(name, 0)
            values[-1] = round(((values[-1] or 0.0) * count + value) / (count + 1), 1)
            self._counts[name] = count + 1
        return self._means

    def _begin(self) -> None:
        self._counts = {}
        self._length = min(self._length + 1, HISTORY_KEPT)
        for values in self._means.values():
            values.append(None)
            del values[:-HISTORY_KEPT]


def _drawn(figures: Figures) -> dict[str, float]:
    found = {name: float(figures[name]) for name in TOLD if name in figures}
    for name, prefix in SHARES.items():
        if total := figures.get(f"{prefix}_total_bytes"):
            found[name] = 100 * figures[f"{prefix}_used_bytes"] / total
    return found


class Telemetry:
    """Reads the figures of one device; processor use is that since the reading before."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._processor = processor_name()
        self._ticks = cpu_ticks()
        self._history = History()

    def read(self) -> Figures:
        """Return name, utilisation, memory and, of a GPU, temperature; of the host, load and memory; their history."""
        figures = self._figures()
        return {**figures, "history": self._history.add(figures)}

    def _figures(self) -> Figures:
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

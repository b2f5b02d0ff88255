"""What a benchmark says: a JSON line with the figure, its baseline from the same run, and the goal."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Row:
    """One line of the table.

    ``value`` is what is judged against ``goal``: a ratio to ``baseline`` where there is one (``unit`` "x"),
    else a figure of its own unit. ``better`` says on which side of the goal the value should be.
    """

    name: str
    value: float
    unit: str
    goal: float
    better: Literal["higher", "lower"]
    measured: str
    baseline: str = ""

    @property
    def met(self) -> bool:
        """Whether the goal was reached in this run."""
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal


def report(*rows: Row) -> None:
    """Print each row as one line of JSON."""
    for row in rows:
        print(json.dumps(asdict(row)), flush=True)


def read(output: str) -> list[Row]:
    """Return the rows among the lines that a benchmark printed."""
    rows = []
    for line in output.splitlines():
        if line.startswith('{"name"'):
            rows.append(Row(**json.loads(line)))
    return rows


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def machine() -> str:
    """Return the machine and the versions that the figures belong to, in two lines."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    load = os.getloadavg()[0]
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "django", "celery", "redis", "numpy")
    )
    return (
        f"{cpu}, {os.cpu_count()} cores, load {load:.1f}, {platform.system()} {platform.release()}\n"
        f"Python {platform.python_version()}, {packages}, commit {commit()}"
    )


def commit() -> str:
    """Return the short hash of the commit that is measured, with ``+`` if the tree was changed."""
    root = Path(__file__).resolve().parents[1]

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if git("status", "--porcelain") else "")

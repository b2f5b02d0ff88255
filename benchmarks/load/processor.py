"""Processor seconds of processes, as Linux counts them: what a load costs, however busy the machine is beside it."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def used_by(pid: int, *, ended_children: bool = False) -> float:
    """Return the processor seconds of a process so far; 0 if it is gone."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(word) for word in words[11 : 15 if ended_children else 13]) / TICKS_PER_SECOND
    return 0.0


def parent_of(pid: int) -> int:
    """Return the process id of a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children_of(pid: int) -> list[int]:
    """Return the process ids of a process's children."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if parent_of(int(entry.name)) == pid:
                    found.append(int(entry.name))
    return found


def used_by_family(pid: int) -> float:
    """Return the processor seconds of a process and its children, those that have ended included."""
    return used_by(pid, ended_children=True) + sum(used_by(child) for child in children_of(pid))


def called(words: str) -> int | None:
    """Return the id of a process whose command line contains ``words``; None if there is none."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if words in (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                    return int(entry.name)
    return None


def exit_when_terminated() -> None:
    """Have SIGTERM end this process as an error does, so that the servers that it started end with it."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))

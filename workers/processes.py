"""What the kernel does for us: no process of a worker outlives the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
END_SECONDS = 2.0
"""So long a killed process may take to be gone; one that waits in the kernel for a device can take for ever."""

_libc = ctypes.CDLL(None, use_errno=True)


def end_with(parent: int) -> None:
    """Have the kernel kill this process as soon as the thread that started it is gone.

    ``parent``: process id of who should be the parent; if it is gone already, this process ends at once.
    """
    if _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Have processes whose parent ends become children of this one, if it is the nearest above them that asks so.

    Else they would belong to the machine's first process, and nobody could tell whose they were.
    """
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) was refused")


def descendants(pid: int, *, but: Collection[int] = ()) -> list[int]:
    """Return the living processes below ``pid``, without those ``but`` and what is below them."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state not in {"Z", "X"}:
                    children.setdefault(int(parent), []).append(int(entry.name))
    found: list[int] = []
    looked_at = [pid]
    while looked_at:
        below = [child for child in children.get(looked_at.pop(), []) if child not in but]
        found += below
        looked_at += below
    return found


def marked(mark: str) -> list[int]:
    """Return the living processes, but for this one, that were started with ``mark`` (NAME=VALUE) around them."""
    wanted, found = mark.encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return [pid for pid in found if is_alive(pid)]


def end_all(find: Callable[[], list[int]], seconds: float = END_SECONDS) -> tuple[list[int], list[int]]:
    """Kill the processes that ``find`` returns, again and again until it returns none.

    Return those that were killed, and those that still live after ``seconds``.
    """
    killed: dict[int, None] = {}
    until = time.monotonic() + seconds
    while found := find():
        if time.monotonic() > until:
            return list(killed), found
        for pid in found:
            killed[pid] = None
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
    return list(killed), []


def name_of(pid: int) -> str:
    """Return the command of a process, shortened; '' if it is gone."""
    try:
        return (
            Path(f"/proc/{pid}/cmdline")
            .read_bytes()
            .replace(b"\0", b" ")
            .decode("utf-8", "replace")
            .strip()[:80]
        )
    except OSError:
        return ""


def threads() -> int:
    """Return the number of threads of this process, those of C libraries included."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def is_alive(pid: int) -> bool:
    """Return whether a process with this id runs on this machine (a zombie does not)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


def is_stopped(pid: int) -> bool:
    """Return whether a process stands still because of SIGSTOP (one that a debugger holds does not count)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] == "T"


def describe_exit(status: int) -> str:
    """Return in words how a process ended that had not finished: its exit status, or the signal that killed it."""
    if status == 0:
        return "ended without finishing its work (exit status 0)"
    if status > 0:
        return f"exited with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = " (the kernel does this when memory runs out)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"

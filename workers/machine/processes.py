"""What the kernel does for us: no process of a worker outlives the one that started it."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from multiprocessing import popen_fork
from pathlib import Path
from typing import NamedTuple

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


class Adopted:
    """Takes the dead among the processes that this one has adopted out of the kernel's table.

    Those that this process itself has started are left to whoever waits for their exit status: what ``subprocess`` and
    ``multiprocessing`` know, and forks that run no other program, which bear the name of a thread of this process.
    """

    def __init__(self) -> None:
        self._dead: set[int] = set()

    def look(self) -> None:
        """Take away those that were dead the last time, too: by now ``subprocess`` knows what it has started.

        It stands beside a training, so it reads of all processes only where one of its own is dead: that takes
        milliseconds, in which the training waits for the interpreter.
        """
        if not _some_child_is_dead():
            self._dead = set()
            return
        dead = {each.pid: each.name for each in _all() if each.parent == os.getpid() and each.state == "Z"}
        if self._dead & dead.keys():
            started, names = _started(), {_read(task / "comm").strip() for task in _tasks()}
            for pid in self._dead & dead.keys() - started:
                if dead[pid] not in names:
                    with suppress(ChildProcessError):
                        os.waitpid(pid, os.WNOHANG)
        self._dead = set(dead)


def _some_child_is_dead() -> bool:
    """Return whether a process below this one waits to be taken away; asks the kernel alone, and takes none away."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def _started() -> set[int]:
    """Return the processes that ``subprocess`` or ``multiprocessing`` has started here and may yet be asked about."""
    kinds = (subprocess.Popen, popen_fork.Popen)
    return {each.pid for each in gc.get_objects() if issubclass(type(each), kinds) and hasattr(each, "pid")}


class _Process(NamedTuple):
    """A process of this machine as the kernel tells of it; name: of its program, 15 characters at most."""

    pid: int
    name: str
    state: str
    parent: int


def _all() -> Iterator[_Process]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            before, _, after = _read(entry / "stat").rpartition(")")
            if after:
                state, parent = after.split()[:2]
                yield _Process(int(entry.name), before.partition("(")[2], state, int(parent))


def _tasks() -> Iterator[Path]:
    return Path("/proc/self/task").iterdir()


def _read(file: Path) -> str:
    """Return the text of a file of the kernel's, '' if what it tells of is gone."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def descendants(pid: int, *, but: Collection[int] = ()) -> list[int]:
    """Return the living processes below ``pid``, without those ``but`` and what is below them."""
    children: dict[int, list[int]] = {}
    for each in _all():
        if each.state not in {"Z", "X"}:
            children.setdefault(each.parent, []).append(each.pid)
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
    return sum(1 for _ in _tasks())


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

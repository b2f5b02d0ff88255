"""What one job may hold of its machine's memory: one without bounds ends itself, and nothing beside it.

Linux counts a process's private writable memory against RLIMIT_DATA and refuses what goes beyond, so that the code
that asked too much gets the error, with its place, instead of the kernel choosing a process to kill.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from acc import text
from workers.machine.telemetry import memory_bytes

SHARE_OF_MACHINE = 0.8
GIB = 2**30
# The first process for the kernel to kill when memory runs out all the same: a job can be run again.
OOM_SCORE = 500


def allowed_gib(setting: float) -> float:
    """Return how many GiB one job may have: ``setting``, or four fifths of machine and container if it is 0."""
    return setting or SHARE_OF_MACHINE * min(memory_bytes()["MemTotal"], _container_bytes()) / GIB


def limit(gib: float) -> None:
    """Let this process have ``gib`` GiB more than it has now, and make it the kernel's first choice to end."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    soft = _data_bytes() + int(gib * GIB)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or soft < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def lift() -> None:
    """Take the limit away again, so that what has failed can be recorded."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def in_words(error: BaseException, *, ranks: int = 1) -> str:
    """Return what to tell the user of an error that ended a job of ``ranks`` processes."""
    if text.is_out_of_memory(error):
        return sentence(error, allowed_gib(settings.ACC_JOB_MEMORY_GIB), ranks)
    return text.in_words(error)


def sentence(error: BaseException, gib: float, ranks: int = 1) -> str:
    """Return what to tell the user of a refusal; ``gib``: what all ranks together may have."""
    who = "one job" if ranks == 1 else f"each of its {ranks} ranks"
    return (
        f"the job asked for more than the {gib / ranks:.3g} GiB of memory that {who} may have on this worker; make its "
        f"batch, model or data smaller, or raise ACC_JOB_MEMORY_GIB ({text.in_words(error)})"
    )


def _data_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


def _container_bytes() -> float:
    """Return the memory limit of the control group that this process lives in; infinite without one."""
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            return float(Path(name).read_text())
    return float("inf")

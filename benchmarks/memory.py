"""What the whole platform holds of its machine's memory at rest, as `manage.py up` starts it, process by process.

Proportional memory (PSS): a page that several processes share counts in equal parts for each, so the sum is what the
machine would have back. Nothing else that maps the same libraries may run beside it: they would share the count.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.platform_under_test import prepare, started
from benchmarks.rows import Row, report

MIB = 2**20
SETTLE_SECONDS = 10.0
GOAL_MIB = 700
GOAL_WEB_MIB = 120


def proportional(pid: int) -> float:
    """Return the proportional memory of a process in MiB, 0 for one that is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024 / MIB


def holds_torch(pid: int) -> bool:
    """Return whether a process has torch in its memory."""
    return "libtorch_python" in Path(f"/proc/{pid}/maps").read_text()


def platform_at_rest(home: Path) -> dict[str, tuple[float, bool]]:
    """Return, by command, the MiB of every process of a platform that has nothing to do, and whether it holds torch."""
    from accsite.apps.jobs.models import Worker
    from accsite.supervisor.redis import free_port
    from workers.machine import processes

    command = [sys.executable, "manage.py", "up", "--port", str(free_port()), "--device", "cpu"]
    online, log = Worker.objects.filter(state=Worker.State.ONLINE), home / "up.log"

    def ready() -> bool:
        return b"ACC runs at" in log.read_bytes() and online.count() >= 3

    with started(command, log, ready=ready) as running:
        time.sleep(SETTLE_SECONDS)
        found = {}
        for pid in [running.pid, *processes.descendants(running.pid)]:
            found[f"{pid} {processes.name_of(pid)}"] = (proportional(pid), holds_torch(pid))
        return found


def main() -> None:
    """Measure and print the rows; what each process holds goes to standard error."""
    home = Path(tempfile.mkdtemp(prefix="acc-bench-"))
    try:
        prepare(home)
        found = platform_at_rest(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    for name, (mib, torch) in sorted(found.items(), key=lambda each: -each[1][0]):
        print(f"{mib:7.1f} MiB {'torch' if torch else '     '} {name}", file=sys.stderr)
    web = sum(mib for name, (mib, _) in found.items() if "accsite.web" in name)
    with_torch = sum(torch for _, torch in found.values())
    told = f"proportional, {len(found)} processes, {with_torch} with torch"
    total = sum(mib for mib, _ in found.values())
    report(Row("memory of the platform at rest", total, "MiB", GOAL_MIB, "lower", told))
    report(Row("memory of the web process at rest", web, "MiB", GOAL_WEB_MIB, "lower", "proportional"))


if __name__ == "__main__":
    main()

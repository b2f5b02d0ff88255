"""From saving a plugin file to its row, and to the open dropdown; and what a storm of saves costs a job that trains."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.browser import signed_in_page
from benchmarks.editors import WAYS, in_place
from benchmarks.live import web
from benchmarks.platform_under_test import ROOT, digits, started, wait_for, worker
from benchmarks.rows import Row, median, p95, report

SAVES = 60  # in all ways together, and half as many among many files
MANY_FILES = 500
PAUSE_SECONDS = 0.25  # between two saves
STORM_ROUNDS = 4
STORM_SECONDS = 3.0
SETTLE_SECONDS = 0.5  # before what a storm, or its end, does to the job is counted
COME_SECONDS = 20.0  # whatever a save brings about comes in this time, or the benchmark ends and says so
STEP_SECONDS = 60.0
MANY_SECONDS = 120.0
TASK = """
from acc.api import Param, Task

class {name}(Task):
    label = "{label}"
    beta = Param(1.0, min=0, max=10)

    def compute_loss(self, output, batch, head):
        return output.mean.square().mean()
"""
# Notes when an option is first there, by the clock that the saver reads too.
WITNESS = """
window.seen = {};
const look = () => { for (const option of document.querySelectorAll('#task-task_class option'))
  window.seen[option.text] ??= Date.now(); };
new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
"""


@contextmanager
def watcher(home: Path, folder: Path) -> Iterator[None]:
    """Run the real watcher on ``folder``; it watches when this returns."""
    log = home / "watcher.log"
    log.unlink(missing_ok=True)  # of the one before, which watched, too
    command = [sys.executable, "-m", "workers.watcher"]
    with started(command, log, ready=lambda: "watching_plugins" in log.read_text(), ACC_PLUGINS=str(folder)):
        yield


def rest() -> None:
    """Wait until a watcher that had many files to look at owes no pause for them."""
    from workers.plugins.hints import BURST, MOST_OWED, PER_SECOND

    time.sleep((BURST + MOST_OWED) / PER_SECOND)


@contextmanager
def open_form(port: int, branch: Any) -> Iterator[Any]:
    """Yield a browser's page: the workbench, signed in, with the form of a new task open."""
    with signed_in_page(port) as page:
        page.goto(f"http://127.0.0.1:{port}/w/{branch.experiment.slug}/{branch.slug}/")
        page.locator("#live[data-state=live]").wait_for()
        page.locator("#add-link").click()
        page.locator("#task-form").wait_for()
        page.evaluate(WITNESS)
        yield page


def all_in_rows(files: int) -> None:
    """Wait until each of the many files has its row."""
    from accsite.apps.registry.models import Plugin

    found = Plugin.objects.filter(label__startswith="many ", available=True)
    wait_for(
        lambda: found.count() == files, seconds=MANY_SECONDS, every=0.2, what=f"the rows of {files} files"
    )


def to_row(label: str) -> float:
    """Return the time, in seconds since the epoch, at which a class with this label has its row."""
    from accsite.apps.registry.models import Plugin

    found = Plugin.objects.filter(label=label, available=True)
    wait_for(found.exists, seconds=COME_SECONDS, every=0.002, what=f"the row of {label!r}")
    return time.time()


def to_option(label: str, page: Any) -> float:
    """Return the time, in seconds since the epoch, at which the open form has offered this label."""
    end = time.monotonic() + COME_SECONDS
    while not (seen := page.evaluate("(label) => window.seen[label] ?? 0", label)):
        if time.monotonic() > end:
            raise SystemExit(f"{label!r} did not come to the open form in {COME_SECONDS:g} s")
        page.wait_for_timeout(2)
    return float(seen) / 1000


def measure(
    file: Path, ways: dict[str, Callable[[Path, str], None]], page: Any, saves: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return ms to the row and ms to the open form of each save, by way, the ways in turns."""
    rows: dict[str, list[float]] = {name: [] for name in ways}
    options: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-len(ways), saves):  # the first of each way opens the ball
        name = list(ways)[number % len(ways)]
        label = f"{file.stem} {number}"
        text = TASK.format(name=file.stem.title(), label=label)
        started = time.time()
        ways[name](file, text)
        in_row = to_row(label)
        in_form = to_option(label, page)
        if number >= 0:
            rows[name].append(1000 * (in_row - started))
            options[name].append(1000 * (in_form - started))
        time.sleep(PAUSE_SECONDS)
    return rows, options


def row(name: str, by_way: dict[str, list[float]], goal: float) -> Row:
    """Return the row of all saves, with the median of each way to save."""
    values = [value for way in by_way.values() for value in way]
    ways = ", ".join(f"{way} {median(took):.0f}" for way, took in by_way.items())
    told = f"medians of {len(values)} saves: {ways} ms; longest {max(values):.0f} ms"
    return Row(name, p95(values), "ms p95", goal, "lower", told)


def storm(folder: Path, stop: threading.Event) -> int:
    """Save four files as fast as can be, every other time broken; return how often."""
    number = 0
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)  # what saves is not what is measured
    while not stop.is_set():
        text = TASK.format(name=f"Storm{number % 4}", label=number) + ("def broken(:" if number % 2 else "")
        (folder / "tasks" / f"storm_{number % 4}.py").write_text(text)
        number += 1
        time.sleep(0.002)
    return number


def storm_row(branch: Any, home: Path, folder: Path) -> Row:
    """Return steps/s of one job with a storm of saves over that without, in turns."""
    from accsite.apps.jobs.models import Job
    from accsite.apps.training.services import jobs

    def written(job: Job, after: int) -> tuple[int, float]:
        """Return the step that the row names next, and when: it is written block by block."""
        steps = Job.objects.filter(pk=job.pk).values_list("step", flat=True)
        wait_for(lambda: steps.get() > after, seconds=STEP_SECONDS, every=0.005, what="a step of the job")
        return steps.get(), time.perf_counter()

    def rate(job: Job, seconds: float) -> float:
        first, began = written(job, written(job, 0)[0])
        last, ended = first, began
        while ended - began < seconds:
            last, ended = written(job, last)
        return (last - first) / (ended - began)

    calm, stormy, saves = [], [], 0
    with worker("worker-train", home):
        spec = {"steps": 10_000_000, "threads": 1, "checkpoint_every_seconds": None}
        job = jobs.submit_training(actor=None, branch=branch, train=spec)
        written(job, 100)
        for _ in range(STORM_ROUNDS):
            calm.append(rate(job, STORM_SECONDS))
            stop, told = threading.Event(), []
            thread = threading.Thread(target=lambda: told.append(storm(folder, stop)))  # noqa: B023
            thread.start()
            try:
                time.sleep(SETTLE_SECONDS)
                stormy.append(rate(job, STORM_SECONDS))
            finally:
                stop.set()
                thread.join()
            saves += told[0]
            time.sleep(SETTLE_SECONDS)
        jobs.request_control(actor=None, job=job, kind="stop")
        wait_for(lambda: not Job.objects.get(pk=job.pk).is_active, what="the job to stop")
    ratios = [one / other for one, other in zip(stormy, calm, strict=True)]
    said = f"{median(stormy):.0f} steps/s, {saves:,} saves in {STORM_ROUNDS} storms"
    baseline = f"{median(calm):.0f} steps/s, rounds {min(ratios):.3f} to {max(ratios):.3f}"
    return Row(
        "steps/s while plugin files are saved without pause",
        median(ratios),
        "x",
        0.98,
        "higher",
        said,
        baseline,
    )


def main() -> None:
    """Measure the ways to save, the same among 500 files, and the storm; print the rows."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright keeps an event loop in this thread
    saves = int(os.environ.get("ACC_BENCH_SAVES", SAVES))
    with digits() as (branch, home):
        folder = home / "copy" / "plugins"
        shutil.copytree(ROOT / "plugins", folder, ignore=shutil.ignore_patterns("__pycache__"))
        tasks = folder / "tasks"
        with watcher(home, folder):
            report(storm_row(branch, home, folder))
        for file in tasks.glob("storm_*.py"):
            file.unlink()
        with web(home) as port, open_form(port, branch) as page:
            with watcher(home, folder):
                rest()
                rows, options = measure(tasks / "saved.py", WAYS, page, saves)
                report(row("save to registry row", rows, 100), row("save to open form", options, 300))
            for number in range(MANY_FILES):
                text = TASK.format(name=f"Many{number}", label=f"many {number}")
                (tasks / f"many_{number}.py").write_text(text)
            with watcher(home, folder):
                all_in_rows(MANY_FILES)
                rest()
                rows, options = measure(tasks / "among.py", {"in place": in_place}, page, saves // 2)
                report(
                    row(f"save among {MANY_FILES} files to registry row", rows, 100),
                    row(f"save among {MANY_FILES} files to open form", options, 300),
                )


if __name__ == "__main__":
    main()

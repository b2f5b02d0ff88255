"""From saving a plugin file to its row, and to the open dropdown; and what a storm of saves costs a job that trains."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.editors import WAYS, in_place
from benchmarks.live import web
from benchmarks.platform_under_test import ROOT, digits, wait_for, worker
from benchmarks.rows import Row, median, report

SAVES = 100
MANY_FILES = 500
PAUSE_SECONDS = 0.3  # between two saves
STORM_ROUNDS = 8
STORM_SECONDS = 4.0
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


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(values, n=20)[-1]


@contextmanager
def watcher(home: Path, folder: Path) -> Iterator[None]:
    """Run the real watcher on ``folder``; it watches when this returns."""
    log = home / "watcher.log"
    environment = {**os.environ, "ACC_PLUGINS": str(folder)}
    with log.open("wb") as out:
        command = [sys.executable, "-m", "workers.watcher"]
        running = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, env=environment)
    try:
        wait_for(lambda: "watching_plugins" in log.read_text())
        yield
    finally:
        running.terminate()
        with suppress(subprocess.TimeoutExpired):
            running.wait(20)
        running.kill()


@contextmanager
def open_form(port: int, branch: Any) -> Iterator[Any]:
    """Yield a browser's page: the workbench, signed in, with the form of a new task open."""
    from django.contrib.auth import get_user_model
    from playwright.sync_api import sync_playwright

    from accsite.apps.access.services import make_sign_in_link
    from scripts.chromium import ensure

    user = get_user_model().objects.create_superuser("bench", password="a good long one")
    token = make_sign_in_link(user, minutes=5)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(ensure()), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/sign-in/link/{token}/")
        if page.locator("form button").count() and "/sign-in/" in page.url:
            page.locator("form button").first.click()
        page.goto(f"http://127.0.0.1:{port}/w/{branch.experiment.slug}/{branch.slug}/")
        page.locator("#live[data-state=live]").wait_for()
        page.locator("#add-link").click()
        page.locator("#task-form").wait_for()
        page.evaluate(WITNESS)
        yield page
        browser.close()


def to_row(label: str, seconds: float = 20) -> float:
    """Return the time, in seconds since the epoch, at which a class with this label has its row."""
    from accsite.apps.registry.models import Plugin

    wait_for(
        lambda: Plugin.objects.filter(label=label, available=True).exists(), seconds=seconds, every=0.002
    )
    return time.time()


def measure(
    file: Path, save: Callable[[Path, str], None], page: Any, saves: int
) -> tuple[list[float], list[float]]:
    """Return ms to the row and ms to the open dropdown of each save."""
    rows, options = [], []
    for number in range(saves):
        label = f"{save.__name__} {number}"
        text = TASK.format(name="Saved", label=label)
        started = time.time()
        save(file, text)
        rows.append(1000 * (to_row(label) - started))
        end = time.monotonic() + 20
        while not (seen := page.evaluate("(label) => window.seen[label] ?? 0", label)):
            if time.monotonic() > end:
                raise SystemExit(f"{label!r} never came to the open form")
            page.wait_for_timeout(2)
        options.append(seen - 1000 * started)
        time.sleep(PAUSE_SECONDS)
    return rows, options


def row(name: str, values: list[float], goal: float) -> Row:
    """Return the row of one way to save."""
    return Row(
        name=name,
        value=p95(values),
        unit="ms p95",
        goal=goal,
        better="lower",
        measured=f"median {median(values):.0f} ms, longest {max(values):.0f} ms of {len(values)} saves",
    )


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
    from accsite.apps.training.models import Job
    from accsite.apps.training.services import jobs

    def rate(job: Job, seconds: float) -> float:
        time.sleep(0.5)
        job.refresh_from_db()
        first, began = job.step, time.perf_counter()
        steps = first
        while time.perf_counter() - began < seconds or steps == first:
            time.sleep(0.02)
            now = Job.objects.values_list("step", flat=True).get(pk=job.pk)
            if now != steps:  # the row is written block by block; count from one write to another
                steps, last = now, time.perf_counter()
        return (steps - first) / (last - began)

    calm, stormy, saves = [], [], 0
    with worker("worker-train", home):
        spec = {"steps": 10_000_000, "threads": 1, "checkpoint_every_seconds": None}
        job = jobs.submit_training(actor=None, branch=branch, train=spec)
        wait_for(lambda: Job.objects.get(pk=job.pk).step > 100)
        for _ in range(STORM_ROUNDS):
            calm.append(rate(job, STORM_SECONDS))
            stop, told = threading.Event(), []
            thread = threading.Thread(target=lambda: told.append(storm(folder, stop)))  # noqa: B023
            thread.start()
            stormy.append(rate(job, STORM_SECONDS))
            stop.set()
            thread.join()
            saves += told[0]
        jobs.request_control(actor=None, job=job, kind="stop")
        wait_for(lambda: not Job.objects.get(pk=job.pk).is_active)
    ratios = [one / other for one, other in zip(stormy, calm, strict=True)]
    return Row(
        name="steps/s while plugin files are saved without pause",
        value=median(ratios),
        unit="x",
        goal=0.98,
        better="higher",
        measured=f"{median(stormy):.0f} steps/s, {saves:,} saves in {STORM_ROUNDS * STORM_SECONDS:.0f} s",
        baseline=f"{median(calm):.0f} steps/s, rounds {min(ratios):.3f} to {max(ratios):.3f}",
    )


def main() -> None:
    """Measure each way to save, the same among 500 files, and the storm; print the rows."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright keeps an event loop in this thread
    saves = int(os.environ.get("ACC_BENCH_SAVES", SAVES))
    with digits() as (branch, home), ExitStack() as entered:
        folder = home / "copy" / "plugins"
        shutil.copytree(ROOT / "plugins", folder, ignore=shutil.ignore_patterns("__pycache__"))
        file = folder / "tasks" / "saved.py"
        with watcher(home, folder):
            entered.enter_context(run_storm(branch, home, folder))
        with web(home) as port, open_form(port, branch) as page:
            with watcher(home, folder):
                for name, way in WAYS.items():
                    rows, options = measure(file, way, page, saves)
                    report(
                        row(f"save {name} to registry row", rows, 100),
                        row(f"save {name} to open form", options, 300),
                    )
            for number in range(MANY_FILES):
                text = TASK.format(name=f"Many{number}", label=f"many {number}")
                (folder / "tasks" / f"many_{number}.py").write_text(text)
            with watcher(home, folder):
                to_row(f"many {MANY_FILES - 1}", 300)
                time.sleep(3)
                rows, options = measure(file, in_place_among_many, page, saves)
                report(
                    row(f"save among {MANY_FILES} files to registry row", rows, 100),
                    row(f"save among {MANY_FILES} files to open form", options, 300),
                )


def in_place_among_many(path: Path, text: str) -> None:
    """Save in place, under a label of its own."""
    in_place(path, text)


@contextmanager
def run_storm(branch: Any, home: Path, folder: Path) -> Iterator[None]:
    """Report the row of the storm, and clean up after it."""
    report(storm_row(branch, home, folder))
    for file in (folder / "tasks").glob("storm_*.py"):
        file.unlink()
    yield


if __name__ == "__main__":
    main()

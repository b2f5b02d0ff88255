"""The page of a run in Chromium: its first picture, what comes over the wire for it, and how live it is.

Of four losses with a hundred thousand steps and twenty spikes of one step, and of a million. Baselines of the same
run: a page without a platform that draws the same columns from a static file with the same library, the file of the
Float32 values, and the time between two frames of an idle page. A peer, where it is installed: TensorBoard, which
shows a thousand points of each of the same curves.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.live import signed_in_with_a_job, web
from benchmarks.platform_under_test import ROOT, digits, started
from benchmarks.rows import Row, median, report

LOSSES = ("reconstruction", "kl", "digit", "thickness")
SPIKES = 20
ROUNDS = 5
STEPS_A_SECOND = 10
LIVE_SECONDS = 20
FRAMES_A_SECOND = 20
UPLOT = ROOT / "accsite/static/vendor/uplot/1.6.32/uPlot.iife.min.js"

WITNESS = """
window.tasks = [];
new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((e) => [e.startTime, e.duration])))
  .observe({ type: 'longtask', buffered: true });
"""
DRAWN = """() => {
  const plot = document.getElementById('loss')?.chart?.plot;
  return plot && plot.data[0].length > 100 ? performance.now() : 0; }"""
# Looks at each frame from the beginning on, so that the look itself costs next to nothing.
LOOK = f"""
window.drawnAt = 0;
const look = () => {{ window.drawnAt = ({DRAWN})(); if (!window.drawnAt) requestAnimationFrame(look); }};
requestAnimationFrame(look);
"""
BARE = """<!doctype html><meta charset=utf-8><script src=uplot.js></script><div id=plot></div><script>
(async () => {
  const all = new Float32Array(await (await fetch('envelope')).arrayBuffer());
  const n = all.length / 12, x = Array.from({ length: n }, (_, i) => i);
  const rows = Array.from({ length: 12 }, (_, row) => all.subarray(row * n, (row + 1) * n));
  const series = rows.map(() => ({ stroke: 'blue', points: { show: false } }));
  new uPlot({ width: 1000, height: 340, series: [{}, ...series], scales: { x: { time: false } } },
    [x, ...rows], document.getElementById('plot'));
  requestAnimationFrame(() => { window.drawnAt = performance.now(); });
})();
</script>"""


def losses(steps: int) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Return the names and the values ``(series, steps)`` that a job of four losses keeps, with twenty spikes."""
    rng = np.random.default_rng(0)
    fall = 0.1 + np.exp(-np.arange(steps) / (steps / 6))
    raw = np.stack([fall * scale * rng.uniform(0.9, 1.1, steps) for scale in (0.1, 50, 2, 1)]).astype("<f4")
    for place in range(SPIKES):
        raw[place % len(LOSSES), (2 * place + 1) * steps // (2 * SPIKES)] *= 40
    names = ["total"]
    values = [raw.sum(axis=0)]
    for name, row in zip(LOSSES, raw, strict=True):
        names += [f"raw/{name}", f"weighted/{name}"]
        values += [row, row]
    names += ["lr", "grad_norm"]
    values += [np.full(steps, 1e-3, "<f4"), raw[0]]
    return tuple(names), np.stack(values).astype("<f4")


def trained(branch: Any, steps: int, *, active: bool = False) -> Any:
    """Return a job of the branch with so many steps of losses; active: it is at work, for all that a page knows."""
    from django.utils import timezone

    from accsite.apps.jobs.models import Job
    from accsite.apps.training import blocks
    from accsite.apps.training.models import LossBlock

    now = timezone.now()
    job = Job.objects.create(
        kind="train",
        queue="train",
        state="RUNNING" if active else "SUCCEEDED",
        title="long",
        branch=branch,
        step=steps,
        total_steps=steps + 100_000 * active,
        attempt=1,
        points_seq=1,
        spec={
            "tasks": [{"key": key, "name": key} for key in LOSSES],
            "train": {"lr": 1e-3, "lr_schedule": "constant"},
        },
        started_at=now,
        finished_at=None if active else now,
    )
    names, values = losses(steps)
    made = blocks.make(0, names, values, 1e9, 1e9 + steps / 100)
    LossBlock.objects.bulk_create(
        [LossBlock(job=job, attempt=1, seq=1, **blocks.fields(chunk)) for chunk in blocks.chunks(made)]
    )
    return job


def four_tasks(branch: Any) -> None:
    """Give the branch the tasks whose losses are told."""
    from accsite.apps.training.models import Task

    known = branch.tasks.first()
    branch.tasks.all().delete()
    for slot, key in enumerate(LOSSES):
        Task.objects.create(
            branch=branch,
            key=key,
            name=key.title(),
            colour_slot=slot,
            position=slot,
            dataset=known.dataset,
            task_class=known.task_class,
        )


@contextmanager
def plain_files(folder: Path) -> Iterator[str]:
    """Yield the address of a server of files and nothing else."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def bare_page(folder: Path, steps: int) -> None:
    """Write the page without a platform: the same curves, reduced to what is drawn, in a file beside it."""
    names, values = losses(steps)
    raw = values[[names.index(f"raw/{key}") for key in LOSSES]]
    width = 2 ** int(np.ceil(np.log2(steps / 1000)))
    cut = raw[:, : steps // width * width].reshape(len(LOSSES), -1, width)
    envelope = np.stack([cut.min(axis=2), cut.max(axis=2), cut.mean(axis=2)], axis=1)
    (folder / "envelope").write_bytes(envelope.astype("<f4").tobytes())
    (folder / "uplot.js").write_bytes(UPLOT.read_bytes())
    (folder / "index.html").write_text(BARE)
    (folder / "whole").write_bytes(raw.tobytes())


@contextmanager
def tensorboard(folder: Path, job: Any) -> Iterator[str]:
    """Yield the address of a TensorBoard that has read the four losses of a job."""
    from accsite.apps.training import exporting
    from accsite.apps.training.selectors import loss_history
    from accsite.supervisor.redis import free_port

    folder.mkdir()
    points = loss_history(job, series=[f"raw/{key}" for key in LOSSES], clock=True)
    with (folder / exporting.FORMS["tensorboard"].name_of(points[0])).open("wb") as file:
        file.writelines(exporting.events(points))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/data/plugin/scalars/tags", timeout=5) as answer:
                runs = json.load(answer)
        except OSError:
            return False
        return any(len(tags) == len(LOSSES) for tags in runs.values())

    with started([*command, "--load_fast", "false"], folder.with_suffix(".log"), ready=ready):
        yield url


class Chrome:
    """A browser that is signed in, and pages of it that are new to the site."""

    def __init__(self, playwright: Any, url: str, cookies: str) -> None:
        from scripts.chromium import ensure

        self.browser = playwright.chromium.launch(
            executable_path=str(ensure()), args=["--no-sandbox", "--disable-gpu"]
        )
        self.url, (self.name, _, self.value) = url, cookies.partition("=")

    @contextmanager
    def page(self, *scripts: str) -> Iterator[Any]:
        """Yield a page of a browser that holds nothing of the site yet."""
        context = self.browser.new_context(viewport={"width": 1440, "height": 900})
        context.add_cookies([{"name": self.name, "value": self.value, "url": self.url}])
        for script in scripts:
            context.add_init_script(script)
        page = context.new_page()
        yield page
        context.close()

    def until(self, page: Any, expression: str, seconds: float = 60) -> Any:
        """Return the first true value of an expression (the site's policy forbids Playwright's own way)."""
        until = time.monotonic() + seconds
        while not (value := page.evaluate(expression)):
            if time.monotonic() > until:
                raise TimeoutError(f"waited {seconds:g} s for {expression}")
            page.wait_for_timeout(20)
        return value

    def drawn(self, address: str, *, look: bool = True) -> tuple[float, int, int]:
        """Return ms from nothing to the drawn chart, bytes of losses on the wire, and of all else."""
        sizes = {"losses": 0, "rest": 0}
        with self.page(*([LOOK] if look else [])) as page:
            client = page.context.new_cdp_session(page)
            client.send("Network.enable")
            asked: dict[str, str] = {}
            client.on(
                "Network.requestWillBeSent", lambda e: asked.update({e["requestId"]: e["request"]["url"]})
            )

            def finished(event: dict[str, Any]) -> None:
                kind = "losses" if "loss_history" in asked.get(event["requestId"], "") else "rest"
                sizes[kind] += event["encodedDataLength"]

            client.on("Network.loadingFinished", finished)
            page.goto(address)
            took = float(self.until(page, "window.drawnAt"))
            page.wait_for_timeout(300)
        return took, sizes["losses"], sizes["rest"]

    def peer_drawn(self, url: str) -> float:
        """Return ms from nothing to TensorBoard's four charts: a frame after the last of their values came."""
        came = 0
        with self.page() as page:

            def finished(request: Any) -> None:
                nonlocal came
                came += "timeseries/timeSeries" in request.url

            page.on("requestfinished", finished)
            page.goto(f"{url}/#timeseries")
            until = time.monotonic() + 60
            while came < len(LOSSES):
                if time.monotonic() > until:
                    raise TimeoutError(f"TensorBoard asked for {came} of {len(LOSSES)} curves in 60 s")
                page.wait_for_timeout(10)
            return float(page.evaluate("new Promise((done) => requestAnimationFrame(done))"))


SPIKES_SEEN = """(name) => {
  const chart = document.getElementById('loss').chart;
  const highs = chart.plot.data[3 * chart.names.indexOf(name) + 2];
  return highs.filter((value, i) => value > 5 * highs[i - 1] && value > 5 * highs[i + 1]).length; }"""


def spikes_seen(chrome: Chrome, address: str) -> int:
    """Return how many of the spikes the chart draws."""
    with chrome.page(LOOK) as page:
        page.goto(address)
        chrome.until(page, "window.drawnAt")
        return sum(int(page.evaluate(SPIKES_SEEN, f"raw/{key}")) for key in LOSSES)


def history(url: str, cookies: str, files: str, job: int) -> tuple[float, float, int]:
    """Return ms of the whole history of four chosen series, of the same file, and the bytes of the former."""
    wanted = ",".join(f"raw/{key}" for key in LOSSES)
    ask = urllib.request.Request(
        f"{url}/api/v1/jobs/{job}/loss_history/?series={wanted}",
        headers={"Cookie": cookies, "Accept": "application/vnd.acc.points"},
    )

    def timed(request: Any) -> tuple[float, int]:
        started = time.perf_counter()
        with urllib.request.urlopen(request, timeout=30) as answer:
            data = answer.read()
        return 1000 * (time.perf_counter() - started), len(data)

    ours, theirs = [], []
    for _ in range(4 * ROUNDS):
        took, size = timed(ask)
        ours.append(took)
        theirs.append(timed(f"{files}/whole")[0])
    return median(ours), median(theirs), size


FOLLOW = """() => {
  window.seen = [];
  const panel = document.getElementById('loss');
  const draw = panel.chart.draw.bind(panel.chart);
  const now = () => performance.timeOrigin + performance.now();
  panel.chart.draw = (...all) => { draw(...all); seen.push([panel.points.end, now()]); };
}"""


def live(chrome: Chrome, address: str, job: Any, home: Path) -> list[float]:
    """Return ms from each step that a training tells, ten a second with some jitter, to where it is drawn."""
    from acc.training.protocols import PointBlock
    from workers.job.lease import Lease
    from workers.job.sinks import Recorder

    rng = random.Random(0)
    names, values = losses(1000)
    begin, told = job.step, {}
    with chrome.page(LOOK) as page, Lease(job.pk, job.attempt) as lease:
        page.goto(address)
        chrome.until(page, "window.drawnAt")
        page.evaluate(FOLLOW)
        recorder = Recorder(lease, scratch=home, on_broken=lambda: None)

        def tell() -> None:
            due = time.perf_counter()
            for number in range(STEPS_A_SECOND * LIVE_SECONDS):
                time.sleep(max(0.0, due - time.perf_counter()))
                due += rng.uniform(0.9, 1.1) / STEPS_A_SECOND
                now = time.time()
                told[begin + number] = now
                recorder.on_block(PointBlock(begin + number, names, values[:, number : number + 1], now, now))

        thread = threading.Thread(target=tell)
        thread.start()
        while thread.is_alive():
            page.wait_for_timeout(200)
        page.wait_for_timeout(1000)
        recorder.close()
        seen = page.evaluate("window.seen")
    took = []
    for step, when in told.items():
        took.append(next((at for end, at in seen if end > step), float("inf")) - 1000 * when)
    return took


def smooth(chrome: Chrome, address: str, job: Any) -> tuple[list[float], int]:
    """Return the lengths of the long tasks while twenty frames a second come, and how many were drawn."""
    from acc import wire
    from accsite.apps.live import frames

    names, values = losses(10_000)
    with chrome.page(LOOK, WITNESS) as page:
        page.goto(address)
        chrome.until(page, "window.drawnAt")
        page.wait_for_timeout(3000)
        page.evaluate(FOLLOW)
        begin, seq = int(page.evaluate("document.getElementById('loss').points.end")), 10_000
        page.evaluate("window.tasks.length = 0")
        for number in range(FRAMES_A_SECOND * 10):
            block = values[:, 5 * number : 5 * number + 5]
            header = {
                "job": job.pk, "attempt": 1, "seq": seq + number, "start": begin + 5 * number, "wall": (1e9, 1e9),
                "series": list(names), "step": begin + 5 * number + 5, "total": begin + 100_000, "rate": 100.0,
            }  # fmt: skip
            frames.publish(job.pk, wire.encode(header, block))
            page.wait_for_timeout(1000 / FRAMES_A_SECOND)
        page.wait_for_timeout(500)
        return [length for _, length in page.evaluate("window.tasks")], len(page.evaluate("window.seen"))


def main() -> None:
    """Measure, and print the rows."""
    from playwright.sync_api import sync_playwright

    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright keeps an event loop in this thread
    with digits() as (branch, home):
        four_tasks(branch)
        short, long = trained(branch, 100_000), trained(branch, 1_000_000)
        cookies, _ = signed_in_with_a_job()
        files = home / "files"
        (files / "long").mkdir(parents=True)
        bare_page(files, 100_000)
        bare_page(files / "long", 1_000_000)
        bench = f"/w/{branch.experiment.slug}/{branch.slug}/"
        with web(home) as port, plain_files(files) as plain, sync_playwright() as playwright:
            chrome = Chrome(playwright, f"http://127.0.0.1:{port}", cookies)
            address = f"{chrome.url}{bench}?job="
            chrome.drawn(f"{address}{short.pk}")  # what the site does once is done
            took: dict[str, list[float]] = {"page": [], "bare": [], "long": [], "bare long": []}
            for _ in range(ROUNDS):
                ms, loss_bytes, rest = chrome.drawn(f"{address}{short.pk}")
                took["page"].append(ms)
                took["bare"].append(chrome.drawn(f"{plain}/index.html", look=False)[0])
                took["long"].append(chrome.drawn(f"{address}{long.pk}")[0])
                took["bare long"].append(chrome.drawn(f"{plain}/long/index.html", look=False)[0])
            peer = []
            if importlib.util.find_spec("tensorboard"):
                with tensorboard(home / "peer", short) as url:
                    for _ in range(ROUNDS):
                        took["page"].append(chrome.drawn(f"{address}{short.pk}")[0])
                        peer.append(chrome.peer_drawn(url))
            seen = spikes_seen(chrome, f"{address}{short.pk}")
            ours, theirs, size = history(chrome.url, cookies, plain, short.pk)
            job = trained(branch, 100_000, active=True)
            late = sorted(live(chrome, f"{address}{job.pk}", job, home))
            tasks, drawn = smooth(chrome, f"{address}{job.pk}", job)
    page, bare = median(took["page"]), median(took["bare"])
    told = f"{page:.0f} ms, {rest / 1000:.0f} KB beside the losses"
    report(
        Row(
            "page of 4 x 100k losses to drawn chart",
            page / bare,
            "x",
            5,
            "lower",
            told,
            f"bare page {bare:.0f} ms",
        )
    )
    if peer:
        beside = f"TensorBoard {median(peer):.0f} ms"
        report(Row("the same over TensorBoard's", page / median(peer), "x", 0.35, "lower", told, beside))
    report(
        Row(
            "losses of that page on the wire",
            loss_bytes / 1000,
            "KB",
            64,
            "lower",
            f"4 of {len(LOSSES) * 2 + 3} series",
        )
    )
    report(Row("spikes of one step shown", seen, f"of {SPIKES}", SPIKES, "higher", "as drawn at full zoom"))
    page, bare = median(took["long"]), median(took["bare long"])
    told = f"{page:.0f} ms"
    report(
        Row(
            "page of 4 x 1M losses, over 4 x 100k",
            page / median(took["page"]),
            "x",
            1.5,
            "lower",
            told,
            f"bare page {bare:.0f} ms",
        )
    )
    told = f"{ours:.1f} ms, {size / 1e6:.2f} MB"
    report(
        Row(
            "history of 4 chosen series x 100k",
            ours / theirs,
            "x",
            20,
            "lower",
            told,
            f"static file {theirs:.2f} ms",
        )
    )
    told = f"p50 {median(late):.1f} ms, worst {late[-1]:.0f} ms"
    report(
        Row(
            f"step to drawn, {STEPS_A_SECOND} a second, p95",
            late[int(0.95 * len(late))],
            "ms",
            30,
            "lower",
            told,
        )
    )
    told = f"{drawn} drawn of {10 * FRAMES_A_SECOND}, {len(tasks)} tasks over 50 ms"
    report(
        Row(
            f"longest task at {FRAMES_A_SECOND} frames a second, 100k points",
            max(tasks, default=50),
            "ms",
            50,
            "lower",
            told,
        )
    )


if __name__ == "__main__":
    main()

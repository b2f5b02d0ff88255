"""From a drag of a slider to the picture in a browser: through the server, and with the decoder in the page.

The demo's model, the real web process, the real process of latents, Chromium. The baseline of the first is the smallest
answer of a page that the same browser gets, which a form without a socket would cost beside the decoding.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.browser import signed_in_page
from benchmarks.live import web
from benchmarks.platform_under_test import digits, run_to_its_end, started, worker
from benchmarks.rows import Row, median, p95, report

STEPS = 40
DRAGS = 150
GOAL_SERVER_MS = 50.0
GOAL_PAGE_MS = 16.0
# A drag as a hand makes it: a value every 16 ms; each picture is waited for before the next value.
DRAG = """async (count) => {
  const root = document.getElementById("latent");
  const slider = root.querySelector("[data-group]");
  const took = [];
  for (let at = 0; at < count; at++) {
    const drawn = new Promise((done) => root.addEventListener("latent-drawn", done, { once: true }));
    slider.value = 2.5 * Math.sin(at / 10);
    const began = performance.now();
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await drawn;
    took.push(performance.now() - began);
    await new Promise((done) => setTimeout(done, 16));
  }
  return took;
}"""
FETCH = """async ([address, count]) => {
  const took = [];
  for (let at = 0; at < count; at++) {
    const began = performance.now();
    await (await fetch(address)).text();
    took.push(performance.now() - began);
    await new Promise((done) => setTimeout(done, 16));
  }
  return took;
}"""


def words(values: list[float]) -> str:
    return f"median {median(values):.1f} ms, p95 {p95(values):.1f} ms of {len(values)} drags"


def drags(port: int, branch: Any) -> tuple[list[float], list[float], list[float]]:
    """Return ms from drag to picture through the server, of the smallest answer, and in the page."""
    with signed_in_page(port) as page:
        page.goto(f"http://127.0.0.1:{port}/latent/?a={branch.head_id}")
        page.locator("[data-group]").first.press("ArrowRight")
        page.locator("[data-picture] canvas:not([hidden])").wait_for()
        page.evaluate(DRAG, 20)
        server = page.evaluate(DRAG, DRAGS)
        small = page.evaluate(FETCH, [f"/latent/branch/{branch.pk}/heads/", DRAGS])
        page.locator("[data-here]").click()
        page.locator("[data-here][aria-pressed=true]").wait_for()
        page.evaluate(DRAG, 20)
        here = page.evaluate(DRAG, DRAGS)
    return server, small, here


def main() -> None:
    with digits() as (branch, home):
        from accsite.apps.training.services import jobs

        with worker("worker-train", home):
            run_to_its_end(
                jobs.submit_training(actor=None, branch=branch, train={"steps": STEPS, "threads": 1})
            )
        branch.refresh_from_db()
        log = home / "latent.log"
        command = (sys.executable, "-m", "workers.latent")
        ready = "latent_serving"
        with web(home) as port, started(command, log, ready=lambda: ready in log.read_text()):
            server, small, here = drags(port, branch)
    baseline = f"the smallest answer of a page: {words(small).replace('drags', 'answers')}"
    report(
        Row(
            "drag to picture by the server, p95",
            p95(server),
            "ms",
            GOAL_SERVER_MS,
            "lower",
            words(server),
            baseline,
        ),
        Row("drag to picture in the page, p95", p95(here), "ms", GOAL_PAGE_MS, "lower", words(here)),
    )


if __name__ == "__main__":
    main()

"""The main job in a real browser: sign in by the link, train, watch the curve, reload, lose the line, see digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.e2e.conftest import Site, Watched
from tests.e2e.wire import Wire
from tests.stack import points

# The first test starts the whole platform.
pytestmark = pytest.mark.timeout(600)
STEPS = 800
END = "document.getElementById('loss').points?.end ?? 0"
OVER = f"({END}) === {STEPS}"
HELD = """() => {
  const { start, end, columns } = document.getElementById('loss').points;
  return { start, end, columns: Object.fromEntries([...columns].map(([name, all]) => [name, [...all.slice(0, end)]])) };
}"""


def at_bench(visit: Callable[..., Watched], site: Site, **options: Any) -> Watched:
    """Return a page signed in as the administrator, who lands on a workbench, and there on this branch's."""
    watched = visit(site.admin, anew=True, **options)
    watched.page.wait_for_url("**/w/**")
    watched.open(site.bench)
    return watched


def train(watched: Watched, steps: int) -> Any:
    """Press Train for ``steps`` steps and return the job that this made."""
    from accsite.apps.jobs.models import Job

    before = set(Job.objects.values_list("pk", flat=True))
    watched.page.get_by_label("Steps", exact=True).fill(str(steps))
    watched.page.get_by_label("Batch", exact=True).fill("16")
    watched.page.get_by_role("button", name="Train", exact=True).click()
    watched.page.locator("#sent", has_text="Job ").wait_for()
    return Job.objects.exclude(pk__in=before).get(kind="train")


def assert_all_points(watched: Watched, job: Any) -> None:
    """Raise unless the page holds each step of the job once, with the value that the database has."""
    held = watched.page.evaluate(HELD)
    stored = points(job)
    assert (held["start"], held["end"]) == (0, job.step)
    assert {name for name in stored if name.startswith("raw/")} <= set(held["columns"]) <= set(stored)
    for name in held["columns"]:
        np.testing.assert_array_equal(np.array(held["columns"][name], np.float32), stored[name])


def test_a_link_a_button_and_the_curve_grows_to_its_end(site: Site, visit: Callable[..., Watched]) -> None:
    watched = at_bench(visit, site)
    page = watched.page
    job = train(watched, STEPS)
    watched.until(f"({END}) > 60")
    assert page.locator("#topjob [data-f=step]").inner_text() != "0"

    # It grows by the socket alone.
    watched.requests.clear()
    seen = page.evaluate(END)
    watched.until(f"({END}) > {seen} + 60 || {OVER}")
    polls = [url for url in watched.requests if "/panel/" not in url and "/jobs/top/" not in url]
    assert polls == []

    # Reloaded in mid-training it shows every point from step 0, and goes on.
    job.refresh_from_db()
    assert job.state == "RUNNING", "the job ended too soon to reload in its midst"
    page.reload()
    watched.until(f"({END}) >= {job.step}")
    assert page.evaluate("document.getElementById('loss').points.start") == 0
    seen = page.evaluate(END)
    watched.until(f"({END}) > {seen} || {OVER}")

    site.stack.state(job, "SUCCEEDED", seconds=150)
    page.locator(f"#job[data-job='{job.pk}'][data-state='SUCCEEDED']").wait_for()
    watched.until(OVER)
    assert_all_points(watched, job)

    # The reconstructions of the final checkpoint come by themselves.
    picture = page.locator("#recon img")
    step = job.checkpoints.get(kind="final").step  # the branch may have been trained before
    page.get_by_text(f"step {step:,}, held-out images").wait_for()
    picture.first.scroll_into_view_if_needed()
    loaded = "[...document.querySelectorAll('#recon img')].every((i) => i.complete && i.naturalWidth > 0)"
    watched.until(loaded)
    assert "reconstructions" in (picture.first.get_attribute("alt") or "")
    watched.assert_still()
    watched.assert_clean()


@pytest.mark.long(13)
def test_a_line_cut_for_five_seconds_costs_no_step(site: Site, visit: Callable[..., Watched]) -> None:
    wire = Wire(site.url)
    try:
        watched = at_bench(visit, site, url=wire.url)
        page = watched.page
        job = train(watched, STEPS)
        shown = f"document.getElementById('loss').points?.job === {job.pk}"
        watched.until(f"{shown} && ({END}) > 60")
        wire.cut()
        page.locator("#live[data-state=lost]").wait_for()
        assert page.locator("#lost").is_visible()
        seen = page.evaluate(END)
        page.wait_for_timeout(5_000)
        wire.mend()
        page.locator("#live[data-state=live]").wait_for()
        watched.until(f"({END}) > {seen} || {OVER}")
        assert page.locator("#lost").is_hidden()
        site.stack.state(job, "SUCCEEDED", seconds=150)
        watched.until(OVER)
        assert_all_points(watched, job)
    finally:
        wire.close()


def test_a_refused_form_says_why_beside_the_field_and_keeps_the_values(
    site: Site, visit: Callable[..., Watched]
) -> None:
    watched = at_bench(visit, site)
    page = watched.page
    page.get_by_label("Steps", exact=True).fill("0")
    page.get_by_label("Learning rate").fill("0.004")
    page.get_by_role("button", name="Train", exact=True).click()
    page.locator("#train-steps_error").wait_for()
    assert "0" in page.locator("#train-steps_error").inner_text()
    assert page.get_by_label("Steps", exact=True).input_value() == "0"
    assert page.get_by_label("Learning rate").input_value() == "0.004"
    assert page.get_by_label("Steps", exact=True).get_attribute("aria-invalid") == "true"


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_weight_is_changed_and_switched_in_place(
    site: Site, visit: Callable[..., Watched], scripts: bool
) -> None:
    watched = at_bench(visit, site, java_script_enabled=scripts)
    page = watched.page
    task = site.branch.tasks.get(task_class="KLDivergenceTask")
    field = page.get_by_label(f"Weight of {task.name}", exact=True)
    field.fill("0.25" if scripts else "0.5")
    field.press("Enter")
    expected = 0.25 if scripts else 0.5

    def kept() -> bool:
        task.refresh_from_db()
        return task.weight == expected

    site.stack.until(kept, what="the weight")
    switch = page.get_by_role("switch", name=f"Train {task.name}")
    assert switch.get_attribute("aria-checked") == "true"
    switch.click()
    page.locator(f"#task-{task.pk} [role=switch][aria-checked=false]").wait_for()
    page.get_by_role("switch", name=f"Train {task.name}").click()
    page.locator(f"#task-{task.pk} [role=switch][aria-checked=true]").wait_for()

    def settled() -> bool:
        task.refresh_from_db()
        return task.enabled and page.locator(".htmx-request").count() == 0

    site.stack.until(settled, what="the task trained again, by the server too")

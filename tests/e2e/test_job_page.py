"""A plugin that prints and fails, on its job's page: its log as it comes, why it failed, Resume; a refused trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route

from tests.e2e.conftest import Site, Watched
from tests.e2e.test_pages import assert_accessible
from tests.stack import DATASET

# The first test starts the whole platform.
pytestmark = pytest.mark.timeout(600)
CHATTY = '''
import time
from pathlib import Path
from acc.api import Task

class ChattyTask(Task):
    """Says what it does."""
    label = "Chatty"
    count = 0

    def compute_loss(self, output, batch, head):
        self.count += 1
        time.sleep(0.02)
        print(f"\\x1b[31mcount {{self.count}}\\x1b[0m <b>" + "0123456789" * 40)
        {then}
        return output.mean.square().mean()
'''
FAILS = 'if Path({flag!r}).exists(): raise ValueError("the sky is <b>falling</b>")'
REFUSED = 'raise ValueError("no latent suits me")'
BOX = "document.querySelector('#log .log')"


@pytest.fixture(scope="module")
def site(site: Site) -> Site:
    """Return the platform, with a branch for the tests of this file."""
    return replace(site, branch=site.stack.branch("chatting"))


def saved(site: Site, plugins: Path, then: str) -> None:
    """Save the plugin, and wait until the site has it."""
    from accsite.apps.registry.models import Plugin

    text = CHATTY.format(then=then)
    (plugins / "tasks" / "chatty.py").write_text(text)

    def is_known() -> bool:
        rows = Plugin.objects.filter(name="ChattyTask", available=True, source__text=text)
        return rows.exists()

    site.stack.until(is_known, what="the plugin")


def pause_and_go_on(watched: Watched) -> None:
    """Paused, the log stands still at its end, too, and says that there is more."""
    page, box = watched.page, watched.page.locator("#log .log")
    pause = page.locator("#log").get_by_role("button", name="Pause")  # another pauses the job
    pause.click()
    still = box.inner_text()
    page.locator("#log .log-waits").wait_for()
    assert box.inner_text() == still
    pause.click()
    watched.until(f"{BOX}.textContent !== {still!r}")


def find_in_the_log(page: Page, word: str) -> None:
    page.get_by_label("Find in the log").fill(word)
    page.locator("#log").get_by_role("button", name="Show").click()


def ask_for_errors(page: Page) -> None:
    """Which lines are shown is in the address, and errors can be had alone."""
    assert "search=COUNT+149" in page.url
    page.get_by_label("Which lines").select_option("errors")
    page.get_by_text("No line of errors holds “COUNT 149”").wait_for()
    find_in_the_log(page, "falling")
    page.locator("#log mark").first.wait_for()


def test_a_job_that_prints_and_fails_is_read_and_resumed_on_its_page(
    site: Site, plugins: Path, visit: Callable[..., Watched], tmp_path: Path
) -> None:
    from accsite.apps.training.services import tasks

    flag = tmp_path / "now"
    saved(site, plugins, FAILS.format(flag=str(flag)))
    branch = site.stack.branch("chatty")
    tasks.add_task(actor=site.admin, branch=branch, task_class="ChattyTask", dataset=DATASET)
    job = site.stack.submit(branch, 100_000, checkpoint_every_seconds=3)
    watched = visit(site.admin)
    watched.open(f"/jobs/{job.pk}/?tab=log")
    page = watched.page
    box = page.locator("#log .log")
    box.wait_for()

    # It follows the end; while somebody reads further up, nothing moves below the eyes.
    watched.until(f"{BOX}.scrollHeight > 3 * {BOX}.clientHeight")
    watched.until(f"{BOX}.scrollTop + {BOX}.clientHeight > {BOX}.scrollHeight - 8")
    box.evaluate("(box) => { box.scrollTop = 100 }")
    page.wait_for_timeout(200)
    still = box.inner_text()
    site.stack.step(job, job.step + 20)
    page.wait_for_timeout(2000)
    assert (box.inner_text(), box.evaluate("(box) => box.scrollTop")) == (still, 100)
    box.evaluate("(box) => { box.scrollTop = box.scrollHeight }")
    watched.until(f"{BOX}.textContent !== {still!r}")
    pause_and_go_on(watched)
    assert "\x1b" not in still
    assert "<b>0123" in still

    site.stack.step(job, 150)
    watched.assert_still()  # until it fails: why it did comes above all else
    flag.touch()
    site.stack.state(job, "FAILED", seconds=150)
    notice = page.locator("#job-notice")
    notice.get_by_text("the sky is <b>falling</b>").first.wait_for()
    notice.get_by_text("The last lines of its log").click()
    assert "ValueError: the sky is <b>falling</b>" in notice.locator("pre").last.inner_text()
    find_in_the_log(page, "COUNT 149")
    page.get_by_text("1 line with “COUNT 149”").wait_for()
    assert box.inner_text().startswith("count 149 ")
    ask_for_errors(page)
    assert_accessible(watched, "a job that failed")
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download").click()
    assert "\x1b[31mcount 1\x1b[0m <b>0123" in Path(coming.value.path()).read_text()

    # It goes on by the plugin as it was mended.
    saved(site, plugins, "")
    page.get_by_role("button", name="Resume from step").click()
    page.get_by_text("resumed at step").first.wait_for()
    page.locator("#job [data-state=RUNNING]").wait_for()
    page.get_by_label("Attempt and rank").wait_for()
    assert page.locator("#job-notice .errors").count() == 0
    page.locator("#topjob summary").click()
    page.get_by_role("button", name="Stop job").click()
    site.stack.state(job, "CANCELLED")
    watched.assert_clean()


def test_what_can_be_done_to_a_job_is_told_anew_in_the_place_that_is_open(
    site: Site, visit: Callable[..., Watched]
) -> None:
    from accsite.apps.jobs.services import control

    job = site.stack.submit(site.stack.branch("again"), 100_000)
    site.stack.step(job, 1)
    watched = visit(site.admin)
    watched.open(f"/jobs/{job.pk}/")
    watched.page.locator("#live[data-state=live]").wait_for()
    retry = watched.page.locator(f"#act-retry-{job.pk}")
    watched.page.locator(f"#act-requeue-{job.pk}").wait_for()
    assert retry.count() == 0, "a job that runs cannot be tried again"
    control.stop(actor=site.admin, job=job)
    site.stack.state(job, "CANCELLED")
    retry.locator("summary").click()
    retry.get_by_role("button", name="Retry", exact=True).click()
    # What was done stays said: the answer is what the place would have fetched.
    said = watched.page.locator("#actions [data-said]")
    said.get_by_role("link", name="Open").wait_for()
    watched.page.wait_for_timeout(1000)
    assert "was asked the same." in said.inner_text()
    assert not retry.evaluate("(place) => place.open")
    said.get_by_role("link", name="Open").click()
    again = site.stack.state(type(job).objects.exclude(pk=job.pk).latest("pk"), "RUNNING")
    requeue = watched.page.locator(f"#act-requeue-{again.pk}")
    requeue.locator("summary").click()
    requeue.get_by_role("button", name="Requeue", exact=True).wait_for()
    control.stop(actor=site.admin, job=again)
    site.stack.state(again, "CANCELLED")
    watched.assert_clean()


def test_a_task_that_its_trial_refuses_says_why_beside_the_field_of_its_class(
    site: Site, plugins: Path, visit: Callable[..., Watched]
) -> None:
    from accsite.apps.training.services import jobs

    saved(site, plugins, REFUSED)
    job = site.stack.submit(site.branch, 1_000_000)
    site.stack.step(job, 3)
    watched = visit(site.admin)
    watched.open(site.bench)
    page = watched.page
    page.locator("#live[data-state=live]").wait_for()
    page.get_by_role("link", name="+ Task").click()
    page.locator("#task-task_class").select_option("ChattyTask")
    page.locator("#task-about", has_text="Says what it does").wait_for()
    page.locator("#task-name").fill("Loud")
    page.get_by_role("button", name="Add the task").click()
    error = page.locator("#task-task_class_error")
    error.wait_for()
    assert "no latent suits me" in error.inner_text()
    assert "the job goes on without it" in error.inner_text()
    field = page.locator("#task-task_class")
    assert (field.input_value(), field.get_attribute("aria-invalid")) == ("ChattyTask", "true")
    assert page.locator("#task-name").input_value() == "Loud", "what was filled in is kept"
    assert not site.branch.tasks.filter(name="Loud", removed_at=None).exists()
    assert_accessible(watched, "a task that was refused")
    at = site.stack.step(job, 3).step
    site.stack.step(job, at + 20)
    jobs.request_control(actor=site.admin, job=job, kind="stop", payload={})
    site.stack.state(job, "CANCELLED")
    watched.assert_clean()


def test_what_is_told_while_an_answer_is_on_its_way_is_fetched_after_it(
    site: Site, visit: Callable[..., Watched]
) -> None:
    from accsite.apps.jobs.models import Job
    from accsite.apps.live.services import bump

    job = site.stack.submit(site.stack.branch("told-late"), 5)
    site.stack.state(job, "SUCCEEDED")
    site.stack.until(lambda: not Job.objects.active().exists(), what="the evaluation of the job to end")
    watched = visit(site.admin)
    watched.open(f"/jobs/{job.pk}/")
    page = watched.page
    page.locator("#live[data-state=live]").wait_for()
    page.wait_for_timeout(1_000)  # nothing more is told of the job by itself
    held: list[Route] = []

    def hold(route: Route) -> None:  # Playwright takes no bound method of a list
        held.append(route)

    page.route(f"**/jobs/{job.pk}/panel/events/", hold)

    def at(topics: str) -> int:
        return int(topics.rpartition("=")[2])

    def shown() -> int:
        return at(page.locator("#events").get_attribute("data-topics") or "")

    def fetched(times: int) -> None:
        for _ in range(1000):
            if len(held) == times:
                return
            page.wait_for_timeout(30)
        raise AssertionError(f"fetched {len(held)} times, not {times}")

    # A signal while the first answer is on its way leads to one more fetch, and that one is the last.
    first = bump(f"job:{job.pk}")[f"job:{job.pk}"]
    fetched(1)
    old = held[0].fetch()
    second = bump(f"job:{job.pk}")[f"job:{job.pk}"]
    page.wait_for_timeout(500)
    assert len(held) == 1
    held[0].fulfill(response=old)
    fetched(2)
    assert shown() == first
    held[1].continue_()
    watched.until(f"document.querySelector('#events').dataset.topics.endsWith('={second}')")
    page.wait_for_timeout(500)
    assert len(held) == 2

    # A panel that a swap brings in as it was before it was told of is fetched, too, though no signal follows.
    page.locator("#events").evaluate(
        """(panel) => { window.old = panel.outerHTML.replace(/=\\d+"/, '=1"'); panel.remove(); }"""
    )
    page.evaluate("htmx.swap({ target: '#job-notice', swap: 'afterend', text: window.old })")
    fetched(3)
    held[2].continue_()
    watched.until(f"document.querySelector('#events').dataset.topics.endsWith('={second}')")
    watched.assert_clean()

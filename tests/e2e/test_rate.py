"""The learning rate is set on the Workbench while a job trains: one command, seen waiting, then in force."""

from __future__ import annotations

from collections.abc import Callable

from accsite.apps.jobs.models import JobEvent
from tests.e2e.conftest import Site, Watched
from tests.e2e.test_pages import assert_accessible


def test_the_rate_is_set_with_the_keyboard_and_is_in_force_from_a_step(
    site: Site, visit: Callable[..., Watched]
) -> None:
    branch = site.stack.branch("steered")
    watched = visit(site.admin)
    watched.open(f"/w/{branch.experiment.slug}/{branch.slug}/")
    page = watched.page
    phone = visit(site.admin)
    phone.page.set_viewport_size({"width": 390, "height": 844})
    phone.open(f"/w/{branch.experiment.slug}/{branch.slug}/")
    field = page.get_by_label("New rate for the running job")
    assert field.is_disabled(), "no job is there to be steered"

    job = site.stack.submit(branch, 1_000_000)
    site.stack.step(job, 5)
    page.locator("#rate b", has_text="0.002").wait_for()
    field.fill("nought")
    field.press("Enter")
    page.locator("#rate [role=alert]").wait_for()
    assert "'nought'" in page.locator("#rate [role=alert]").inner_text()
    assert field.input_value() == "0.002", "what is in force"
    field.fill("0.0003")
    site.stack.step(job, job.step + 30)
    page.wait_for_timeout(500)
    assert field.input_value() == "0.0003", "typed after that, whatever comes in meanwhile"

    field.fill("0.00042")
    field.press("Enter")
    page.locator("#rate [data-status=APPLIED]").wait_for()
    page.locator("#rate b", has_text="0.00042").wait_for()
    assert page.locator("#rate [role=alert]").count() == 0
    event = JobEvent.objects.get(job=job, kind="set_lr")
    assert event.step is not None
    assert (event.payload, event.status) == ({"lr": 0.00042}, "APPLIED")
    assert f"applied at step {event.step:,}" in page.locator("#rate").inner_text()

    norm = page.get_by_label("New norm to clip gradients at")
    norm.fill("0.5")
    norm.press("Enter")
    page.locator("#rate b", has_text="0.5").wait_for()
    assert JobEvent.objects.get(job=job, kind="set_clip").payload == {"grad_clip_norm": 0.5}

    field.fill("0.1")  # half typed: what the job does meanwhile leaves it alone
    site.stack.step(job, event.step + 40)
    assert field.input_value() == "0.1"
    assert_accessible(watched, "the workbench of a job that is steered")
    page.locator("#topjob summary").click()
    page.get_by_role("button", name="Stop job").click()
    site.stack.state(job, "CANCELLED")
    page.locator("#steer-lr[disabled]").wait_for()
    watched.assert_still()
    phone.page.locator("#steer-lr[disabled]").wait_for()
    phone.page.get_by_role("button", name="Resume from step").wait_for()
    phone.assert_still()
    assert [problem for problem in watched.problems if "422" not in problem] == []

"""What is set on a task arrives as it was meant: one change a gesture, no click lost, nothing refused in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.e2e.conftest import Site, Watched

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def running(site: Site) -> Iterator[Any]:
    """Return a job under way, and stop it in the end."""
    from accsite.apps.training.services import jobs

    job = site.stack.submit(site.branch, 200_000)
    site.stack.step(job, 3)
    yield job
    jobs.request_control(actor=site.admin, job=job, kind="stop", payload={})
    site.stack.state(job, "CANCELLED")


def changes(job: Any, kind: str) -> list[Any]:
    """Return the payloads of a job's commands of a kind, oldest first."""
    return list(job.events.filter(kind=kind).order_by("id").values_list("payload", flat=True))


def is_last_weight(job: Any, weight: float) -> bool:
    """Return whether the newest command sets this weight."""
    return bool(changes(job, "set_weight")[-1]["weight"] == weight)


def test_what_is_set_arrives_as_it_was_meant(site: Site, running: Any, visit: Callable[..., Watched]) -> None:
    task = site.branch.tasks.order_by("pk").first()
    assert task is not None
    watched = visit(site.admin)
    page = watched.page
    watched.open(site.bench)
    watched.until("document.getElementById('live').dataset.state === 'live'")
    row = page.locator(f"#task-{task.pk}")
    field = row.locator("[name=weight]")
    row.locator("[type=range]").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight", delay=30)
    page.keyboard.down("ArrowLeft")
    page.wait_for_timeout(600)
    ghost = row.locator(".slide .ghost")
    assert ghost.evaluate("(e) => e.style.opacity") == "1", "what is in force stays marked"
    page.keyboard.up("ArrowLeft")
    row.locator("[data-status=APPLIED]").wait_for()
    watched.until(f"document.querySelector('#task-{task.pk} .slide .ghost').style.opacity === '0'")
    page.wait_for_timeout(1000)
    (sent,) = changes(running, "set_weight")
    assert sent["weight"] == float(field.input_value())
    watched.until("document.querySelectorAll('#events [data-step]').length === 1")

    switch = row.locator(".switch")
    switch.click()
    page.wait_for_timeout(60)
    switch.click()
    site.stack.until(lambda: len(changes(running, "set_enabled")) == 2, what="both clicks of the switch")
    assert [each["enabled"] for each in changes(running, "set_enabled")] == [False, True]
    watched.until(f"document.querySelector('#task-{task.pk} .switch').ariaChecked === 'true'")
    watched.until("!document.querySelector('.htmx-request')")

    for weight in ("0.0042", "0.123456789"):
        field.fill(weight)
        field.press("Tab")
        site.stack.until(partial(is_last_weight, running, float(weight)), what=weight)
        assert field.input_value() == weight
        assert field.evaluate("(e) => e.scrollWidth <= e.clientWidth"), f"{weight} is cut off"

    field.fill("-3")
    field.press("Tab")
    error = row.locator(".error")
    error.wait_for()
    assert "-3" in error.inner_text()
    assert field.input_value() == "0.123456789"
    assert field.get_attribute("aria-describedby") == error.get_attribute("id")
    assert [each["weight"] for each in changes(running, "set_weight")][-1] == 0.123456789
    task.refresh_from_db()
    assert task.weight == 0.123456789
    assert [each for each in watched.problems if "422" not in each] == []


def test_clicks_behind_a_weight_are_all_heard_and_stay_shown(
    site: Site, running: Any, visit: Callable[..., Watched]
) -> None:
    task = site.branch.tasks.order_by("pk").first()
    assert task is not None
    watched = visit(site.admin)
    page = watched.page
    watched.open(site.bench)
    watched.until("document.getElementById('live').dataset.state === 'live'")
    row = page.locator(f"#task-{task.pk}")
    field, switch = row.locator("[name=weight]"), row.locator(".switch")
    field.fill("0.5")
    field.press("Enter")
    shown = []
    for _ in range(4):
        switch.click()
        shown.append(switch.get_attribute("aria-checked"))
        page.wait_for_timeout(60)  # in which older answers come in
    assert shown == ["false", "true", "false", "true"]
    site.stack.until(lambda: len(changes(running, "set_enabled")) == 4, what="all clicks")
    assert [each["enabled"] for each in changes(running, "set_enabled")] == [False, True, False, True]
    assert is_last_weight(running, 0.5)
    watched.assert_clean()

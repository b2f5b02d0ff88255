"""The table of runs in a browser: curves beside it, order, columns and chosen rows, with and without a script."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import Site
from tests.e2e.test_pages import assert_accessible

# The first test starts the whole platform.
pytestmark = pytest.mark.timeout(600)
DRAWN = "document.querySelectorAll('#runs-plot canvas').length === 1"


@pytest.fixture(scope="module")
def job(site: Site) -> Any:
    """Return a training that has ended."""
    return site.stack.state(site.stack.submit(site.branch, 40), "SUCCEEDED")


def test_an_eye_puts_a_curve_beside_the_table_and_into_the_address(site, visit, job):
    watched = visit(site.admin)
    watched.open("/runs/")
    page = watched.page
    page.evaluate("window.kept = true")
    eye = page.get_by_role("button", name=f"Curve of {job.pk}", exact=True)
    eye.focus()
    page.keyboard.press("Enter")
    watched.until(DRAWN)
    watched.until(f"location.search.includes('eye={job.pk}')")
    assert page.evaluate("window.kept"), "the page was loaded anew"
    assert page.locator("#runs-legend li").count() == 1
    assert eye.get_attribute("aria-pressed") == "true"
    assert_accessible(watched, page.url)
    page.locator("#runs-legend button").click()
    watched.until("!document.getElementById('runs-plot')")
    watched.until("!location.search.includes('eye')")
    watched.assert_clean()


def test_a_heading_sorts_and_a_group_shows_its_mean(site, visit, job):
    watched = visit(site.admin)
    watched.open("/runs/")
    page = watched.page
    page.get_by_role("columnheader", name="seconds").get_by_role("button", name="seconds", exact=True).click()
    watched.until("document.querySelector('th[aria-sort=ascending]')?.textContent.includes('seconds')")
    page.get_by_label("grouped by").select_option("experiment")
    page.wait_for_url("**group=experiment**")
    assert page.locator("#runs tbody tr").count() > 0
    page.get_by_role("button", name="Curves of all here").click()
    watched.until(DRAWN)
    assert_accessible(watched, page.url)
    watched.assert_clean()


def test_chosen_runs_are_told_that_they_cannot_be_stopped(site, visit, job):
    watched = visit(site.admin)
    watched.open(f"/runs/?filter=run+%3D+{job.pk}")
    page = watched.page
    page.get_by_role("checkbox", name=f"Choose run {job.pk}").check()
    page.get_by_role("button", name="Stop", exact=True).click()
    assert f"Run {job.pk}:" in page.locator("main .errors").inner_text()
    assert page.url.endswith(f"filter=run+%3D+{job.pk}")


def test_without_a_script_the_table_sorts_filters_and_chooses_columns(site, visit, job):
    watched = visit(site.admin, java_script_enabled=False)
    page = watched.page
    page.goto(f"{site.url}/runs/")
    page.get_by_role("columnheader", name="seconds").get_by_role("button", name="seconds", exact=True).click()
    assert page.url.endswith("/runs/?sort=seconds")
    page.get_by_label("Filter", exact=True).fill(f"run = {job.pk} and state = done")
    page.get_by_role("button", name="Show", exact=True).click()
    assert page.locator("#runs tbody tr").count() == 1
    page.get_by_role("button", name=f"Curve of {job.pk}", exact=True).click()
    assert f"eye={job.pk}" in page.url
    page.locator("summary", has_text="Columns").click()
    page.locator(".columns input[value=step]").uncheck()
    page.get_by_role("button", name="Show these").click()
    assert page.get_by_role("columnheader").get_by_role("button", name="step", exact=True).count() == 0
    assert page.locator("#runs tbody tr").count() == 1

"""The page of a study in a browser: curves once in view, kept traversals when asked for, changes by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import Site
from tests.e2e.test_pages import assert_accessible

# The first test starts the whole platform.
pytestmark = pytest.mark.timeout(600)
DRAWN = "document.querySelectorAll('[data-means] canvas').length === {}"


@pytest.fixture
def study(site: Site) -> Any:
    """Return a study of one arm whose first seed was trained."""
    from accsite.apps.studies.services import studies

    job = site.stack.state(site.stack.submit(site.branch, 40), "SUCCEEDED")
    made = studies.repeat_branch(
        actor=None, branch=site.branch, seeds=2, outcome="digit/accuracy", steps=5, name="drawn"
    )
    made.results.filter(seed=0).update(branch=job.branch, job=job, state="succeeded", seconds=2.0)
    return made


def test_what_was_done_stays_said_while_the_study_changes(site, visit, study):
    from accsite.apps.studies.services import life

    watched = visit(site.admin)
    watched.open(f"/studies/{study.slug}/")
    page = watched.page
    page.locator("#actions summary", has_text="Add seeds").click()
    page.locator("form[id^=extend-form] button.main").click()
    said = page.locator("#actions [data-said]")
    said.wait_for()
    for name in ("once", "twice"):
        life.rename_study(actor=None, study=study, name=name)
        watched.until(f"document.querySelector('#study h1').textContent === '{name}'")
        watched.until(f"document.title.endsWith('{name} · ACC')")
        watched.until(
            f"document.querySelector('form[id^=rename-form] input[name=name]').defaultValue === '{name}'"
        )
    assert said.count() == 1
    assert "has more seeds" in said.inner_text()
    watched.assert_clean()


def test_its_curves_are_drawn_once_they_are_in_view_and_its_name_changes_by_itself(site, visit, study):
    from accsite.apps.studies.services import life

    watched = visit(site.admin)
    watched.open(f"/studies/{study.slug}/")
    page = watched.page
    page.evaluate("window.kept = true")
    page.locator("[data-means]").scroll_into_view_if_needed()
    watched.until(DRAWN.format(1))
    other = page.locator("#curve option").nth(1).get_attribute("value")
    page.locator("#curve").select_option(other)
    watched.until(f"document.querySelector('#curve').value === '{other}'")
    page.get_by_role("button", name="log", exact=True).click()
    page.get_by_role("link", name="Show those that are kept").click()
    page.get_by_text("No traversals are kept of these checkpoints.").wait_for()
    life.rename_study(actor=None, study=study, name="renamed meanwhile")
    watched.until("document.querySelector('#study h1').textContent === 'renamed meanwhile'")
    watched.until(DRAWN.format(1))
    assert page.get_by_text("No traversals are kept of these checkpoints.").is_visible()
    assert page.evaluate("window.kept"), "the page was loaded anew"
    assert_accessible(watched, page.url)
    watched.assert_clean()

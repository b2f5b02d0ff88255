"""The stage of the Workbench: tiles that are put in order and shown alone, and the branch's line under the curve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.e2e.conftest import Site, Watched
from tests.e2e.test_chart import kept
from tests.e2e.test_pages import assert_accessible

# The first test starts the whole platform.
pytestmark = pytest.mark.timeout(600)
READY = "document.getElementById('loss').chart?.plot?.data[0].length > 1"


@pytest.fixture(scope="module")
def job(site: Site) -> Any:
    """Return a finished job of the branch with losses of all its tasks."""
    values = np.random.default_rng(0).uniform(0.1, 0.2, (site.branch.tasks.count(), 5000))
    job = kept(site, values)
    yield job
    job.delete()


def test_tiles_are_put_in_order_by_keys_and_stay_so(
    site: Site, job: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    watched.open(f"{site.bench}?job={job.pk}")
    watched.until(READY)
    tiles = page.locator("#tiles .tile")
    first, second = (tiles.nth(i).get_attribute("data-series") for i in (0, 1))
    tiles.nth(1).locator("button").focus()
    page.keyboard.press("Alt+ArrowLeft")
    assert page.evaluate("document.activeElement.closest('.tile').dataset.series") == second
    page.reload()
    watched.until(READY)
    order = [tiles.nth(i).get_attribute("data-series") for i in (0, 1)]
    assert order == [second, first]
    legend = page.locator("#legend button")
    assert [legend.nth(i).get_attribute("data-series") for i in (0, 1)] == order
    watched.assert_still()
    watched.assert_clean()


def test_a_tile_shows_its_curve_alone_with_what_stands_under_the_cursor(
    site: Site, job: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    page.wait_for_load_state("networkidle")
    watched.requests.clear()  # of the page that one lands on
    watched.open(f"{site.bench}?job={job.pk}")
    watched.until(READY)
    asked = [url for url in watched.requests if "loss_history" in url]
    assert len(asked) == 1, "what the head of the page fetches is what the chart draws"
    page.locator("#tiles .tile").nth(2).click()
    name = page.locator("#tiles .tile").nth(2).get_attribute("data-name")
    watched.until("document.getElementById('loss').chart.series.length === 1")
    assert page.locator("#loss-title").inner_text() == name
    page.locator("#loss > .plot .u-over").scroll_into_view_if_needed()
    box = page.locator("#loss > .plot .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.locator("#loss .tip .clip", has_text=str(name)).wait_for()
    watched.until("document.querySelectorAll('#tiles .pointed').length > 1")
    page.mouse.move(1, 1)
    watched.until("document.querySelectorAll('#tiles .pointed, #loss .tip').length === 0")
    page.keyboard.press("f")
    watched.until("document.fullscreenElement?.id === 'loss'")
    page.keyboard.press("f")
    watched.until("document.fullscreenElement === null")
    page.go_back()
    watched.until(f"document.getElementById('loss').chart.series.length === {site.branch.tasks.count()}")
    assert_accessible(watched, "the stage")
    watched.assert_clean()


def test_a_fork_begins_with_the_curve_that_led_to_it(site: Site, visit: Callable[..., Watched]) -> None:
    from accsite.apps.training.models import Checkpoint
    from accsite.apps.training.services import experiments

    job = site.stack.state(site.stack.submit(site.branch, 60), "SUCCEEDED")
    node = Checkpoint.objects.get(job=job, kind="final")
    fork = experiments.create_branch(
        actor=site.admin, experiment=site.branch.experiment, name="Begins here", from_checkpoint=node
    )
    watched = visit(site.admin)
    page = watched.page
    watched.open(f"/w/{fork.experiment.slug}/{fork.slug}/")
    plot = "document.getElementById('loss').chart?.plot"
    watched.until(f"{plot}?.data[0].length > 30 && {plot}.data.at(-1).some((value) => value > 0)")
    assert page.evaluate(f"{plot}.scales.x.max") == node.step
    page.locator("#loss .marker", has_text=f"fork of {site.branch.name}").wait_for()
    assert page.get_by_text("where the branch begins").count() == fork.tasks.count()
    again = site.stack.state(site.stack.submit(fork, 40), "SUCCEEDED")
    watched.until(f"document.getElementById('job').dataset.job === '{again.pk}'")
    watched.until(f"{plot}.scales.x.max >= {node.step + 39}")
    first = page.evaluate("JSON.parse(document.getElementById('job').dataset.line)[0].first")
    assert page.evaluate(f"{plot}.scales.x.min") == first < node.step
    page.get_by_role("button", name="job", exact=True).click()
    watched.until(f"location.search.includes('of=job') && {plot}.scales.x.max === 39")
    page.go_back()
    watched.until(f"{plot}.scales.x.max >= {node.step + 39}")
    watched.assert_clean()

"""The height of a chart is the reader's: set by pointer or keys, kept by the browser, there from the first frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import Site, Watched
from tests.e2e.test_pages import assert_accessible
from tests.e2e.test_stage import READY, job

__all__ = ["job"]
pytestmark = pytest.mark.timeout(600)
HEIGHT = "document.querySelector('#loss > .plot').offsetHeight"
DRAWN = f"document.querySelector('#loss canvas').clientHeight === {HEIGHT}"


def test_a_chart_is_made_higher_by_its_lower_edge_and_stands_so_at_the_next_visit(
    site: Site, job: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    page.set_viewport_size({"width": 1440, "height": 2400})  # what a late height would move is in view
    watched.open(f"{site.bench}?job={job.pk}")
    watched.until(READY)
    usual = page.evaluate(HEIGHT)
    edge = page.get_by_role("separator", name="Height of the chart")
    box = edge.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 60, steps=3)
    page.mouse.move(x, y - 150, steps=3)
    page.mouse.up()
    assert page.evaluate(HEIGHT) == usual - 150
    watched.until(DRAWN)
    edge.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("PageUp")
    assert page.evaluate(HEIGHT) == usual - 150 + 20 - 100
    assert edge.get_attribute("aria-valuenow") == str(usual - 230)
    assert_accessible(watched, "a chart that was made lower")

    page.reload()
    watched.until(READY)
    assert page.evaluate(HEIGHT) == usual - 230
    watched.until(DRAWN)
    watched.assert_still()

    edge.focus()
    for _ in range(30):
        page.keyboard.press("PageUp")
    assert page.evaluate(HEIGHT) == 120, "it is never too low to be taken hold of"
    page.keyboard.press("Enter")
    assert page.evaluate(HEIGHT) == usual
    page.reload()
    watched.until(READY)
    assert page.evaluate(HEIGHT) == usual
    watched.assert_clean()


def test_what_the_browser_kept_and_cannot_be_a_height_changes_nothing(
    site: Site, job: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    watched.open(f"{site.bench}?job={job.pk}")
    watched.until(READY)
    usual = watched.page.evaluate(HEIGHT)
    for kept in ("{", "[7]", "null", '{"loss": "tall", "other:x": 3}'):
        watched.page.evaluate("kept => localStorage.setItem('acc:heights', kept)", kept)
        watched.page.reload()
        watched.until(READY)
        assert watched.page.evaluate(HEIGHT) == usual, kept
    watched.assert_clean()

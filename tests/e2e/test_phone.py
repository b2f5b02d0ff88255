"""On a phone nothing is hidden: all places can be reached, and tables are cards that say what each value is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accsite.apps.jobs.templatetags.acc import RAIL
from tests.e2e.conftest import Site, Watched
from tests.e2e.test_pages import furnished

__all__ = ["furnished"]
pytestmark = pytest.mark.timeout(600)
SIZE: Any = {"width": 390, "height": 844}
PLACES = [label for _, label, *_ in RAIL]
# Cells of cards that cannot be seen, or do not say what they are.
MUTE = """() => [...document.querySelectorAll(".cards-on-phone tbody td:not(.none)")]
  .filter((cell) => !cell.checkVisibility() || !(cell.dataset.label || cell.matches(".acts-on")))
  .map((cell) => cell.outerHTML.slice(0, 120))"""
# Tables of which a part lies outside the screen.
CUT = """() => [...document.querySelectorAll("#branches .scroll, #checkpoints .scroll")]
  .filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.ariaLabel)"""
WIDER = "document.documentElement.scrollWidth - innerWidth"


@pytest.mark.parametrize("start", ["/jobs/", "/admin/"])
def test_what_has_no_tab_lies_behind_one_that_opens_by_touch_and_by_key(
    site: Site, visit: Callable[..., Watched], start: str
) -> None:
    watched = visit(site.admin, has_touch=True)
    page = watched.page
    page.set_viewport_size(SIZE)
    watched.open(start)
    links = page.locator(".rail a:visible")
    tabs = [text.strip() for text in links.all_inner_texts()]
    more = page.locator(".rail .more summary")
    more.tap()
    assert sorted([*tabs, *PLACES[len(tabs) :]]) == sorted(text.strip() for text in links.all_inner_texts())
    page.locator(".rail .more a").first.focus()
    page.keyboard.press("Escape")
    assert links.count() == len(tabs)
    more.focus()
    page.keyboard.press("Enter")
    page.locator(".rail .more").get_by_role("link", name="Devices").tap()
    page.wait_for_url("**/devices/")


def test_tables_are_cards_in_which_every_value_says_what_it_is(
    site: Site, furnished: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin, has_touch=True)
    watched.page.set_viewport_size(SIZE)
    experiment = f"/experiments/{site.branch.experiment.slug}/"
    for route in ("/jobs/", "/devices/", "/plugins/", "/profile/", experiment):
        watched.open(route)
        assert watched.page.evaluate(MUTE) == [], route
        assert watched.page.evaluate(WIDER) <= 0, route
    tables = watched.page.locator("#branches table, #checkpoints table")
    assert tables.count() == 2, "the experiment is the last that was opened"
    assert watched.page.evaluate(CUT) == []
    watched.open("/jobs/")
    card = watched.page.locator("tr[data-job]:has(td.losses:not(.none))").first
    for label in ("State", "Progress", "Branch", "Last losses", "Took", "Submitted"):
        assert card.locator(f"[data-label='{label}']").is_visible()
    assert not card.locator("[data-label='Owner']").is_visible(), "nobody started it: there is nothing to say"

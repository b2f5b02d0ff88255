"""The command palette: whatever has a name, what can be done here and how the site looks, by the keyboard alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route

from tests.e2e.conftest import Site, Watched, at_rest
from tests.e2e.test_pages import obstacles

# The first test starts the whole platform.
pytestmark = pytest.mark.timeout(600)


def chosen(page: Page) -> str:
    """Return what the palette would do now."""
    return page.locator("#palette [aria-selected=true] .name").inner_text()


def asked(watched: Watched) -> list[str]:
    return [each for each in watched.requests if "/api/v1/search/" in str(each)]


def test_it_finds_things_goes_there_and_puts_what_was_visited_first(
    site: Site, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    experiment = site.branch.experiment
    watched.open(f"/experiments/{experiment.slug}/")
    watched.open("/devices/")
    page = watched.page
    page.wait_for_load_state("networkidle")
    watched.requests.clear()
    page.keyboard.press("Control+k")
    page.locator("#palette [role=option]").first.wait_for()
    assert chosen(page) == experiment.name
    page.wait_for_timeout(600)
    assert asked(watched) == []  # what was not asked is not asked for

    page.keyboard.type("profi", delay=30)  # a page that is not in the rail, where it would be found unasked
    page.locator("#palette .heading", has_text="Pages").wait_for()
    assert len(asked(watched)) == 1
    assert obstacles(watched, "the palette") == []
    page.keyboard.press("Escape")
    page.locator("#palette").wait_for(state="detached")

    page.keyboard.press("Control+k")
    page.keyboard.type(f"experiment {experiment.slug}")
    page.locator("#palette .heading", has_text="Experiments").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/experiments/{experiment.slug}/")
    watched.assert_clean()


def test_it_sets_the_theme_and_says_when_nothing_is_called_so(
    site: Site, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    watched.open("/jobs/")
    page = watched.page
    page.keyboard.press("Control+k")
    page.locator("#palette input").wait_for()
    page.keyboard.type("theme dark")
    page.locator("#palette [aria-selected=true]", has_text="dark").wait_for()
    page.keyboard.press("Enter")
    page.locator("html[data-theme=dark]").wait_for()
    page.keyboard.press("Control+k")
    page.locator("#palette input").wait_for()
    page.keyboard.type("zzzzzz")
    page.get_by_text("Nothing that you may see is called so.").wait_for()
    page.keyboard.press("Enter")
    assert page.locator("#palette").is_visible()
    watched.assert_clean()


def test_what_is_typed_before_it_has_loaded_is_typed_into_it(
    site: Site, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page

    def slowly(route: Route) -> None:
        page.wait_for_timeout(700)
        route.continue_()

    page.route("**/js/palette.*", slowly)
    watched.open("/jobs/")
    page.keyboard.press("Control+k")
    page.keyboard.type("devv")  # of which d and v alone would be keys of the page
    page.keyboard.press("Backspace")
    page.locator("#palette").wait_for()
    page.keyboard.type("ices")
    assert page.locator("#palette input").input_value() == "devices"
    page.keyboard.press("Enter")
    page.wait_for_url("**/devices/")

    page.keyboard.press("Control+k")
    page.keyboard.type("jobs")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/")

    page.keyboard.press("Control+k")
    page.keyboard.press("Escape")
    page.wait_for_timeout(1500)
    assert page.locator("#palette").count() == 0
    watched.assert_clean()


def test_it_looks_alike_and_leaves_the_page_alone_wherever_it_is_opened(
    site: Site, visit: Callable[..., Watched]
) -> None:
    at_rest(site, "ranked")
    watched = visit(site.admin)
    watched.open("/evaluate/")
    page = watched.page
    form = page.locator("form#picks")
    form.wait_for()
    before = form.bounding_box()
    page.keyboard.press("Control+k")
    page.locator("#palette [role=option]").first.wait_for()
    assert form.bounding_box() == before
    assert (
        page.evaluate("""() => {
        const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
        return ids.filter((id, at) => ids.indexOf(id) !== at);
    }""")
        == []
    )
    watched.assert_clean()

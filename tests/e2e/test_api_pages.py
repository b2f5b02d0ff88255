"""The pages of the API stand in the site's frame, in its themes, and keep nobody out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.conftest import Site, Watched
from tests.e2e.test_admin import EVERY_RULE
from tests.e2e.test_pages import AXE, Theme

pytestmark = pytest.mark.timeout(900)
SHOWN = {"/api/docs/": ".opblock", "/api/docs/redoc/": ".http-verb"}
# What the page mends of it is mended a moment after it is there.
MENDED = "document.querySelector('#api [aria-level]') !== null"


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.long(60))])
@pytest.mark.parametrize("route", [pytest.param(route, marks=pytest.mark.long(60)) for route in SHOWN])
def test_a_page_of_the_api_has_no_error_and_no_obstacle(
    site: Site, visit: Callable[..., Watched], route: str, theme: Theme
) -> None:
    watched = visit(site.admin, color_scheme=theme)
    assert watched.open(route).status == 200
    watched.page.locator(SHOWN[route]).first.wait_for(timeout=120_000)
    watched.until(MENDED)
    watched.page.wait_for_timeout(2_000)
    # Of a font that it had in its memory Chromium says after some seconds that the preload was not used.
    watched.problems[:] = [each for each in watched.problems if "inter.woff2 was preloaded" not in each]
    watched.assert_clean()
    watched.page.evaluate(AXE.read_text())
    assert watched.page.evaluate(EVERY_RULE) == []
    assert watched.page.locator(".rail").get_by_role("link", name="Jobs").is_visible()


def test_the_api_page_follows_the_theme_while_it_is_open(site: Site, visit: Callable[..., Watched]) -> None:
    watched = visit(site.admin, color_scheme="light")
    page = watched.page
    watched.open("/api/docs/")
    page.locator("#live[data-state=live]").wait_for()
    is_dark = "document.documentElement.classList.contains('dark-mode')"
    assert not page.evaluate(is_dark)
    page.locator("summary[aria-label^='Menu of']").click()
    page.locator(".menu [data-set-theme=dark]").click()
    assert page.evaluate(is_dark)
    page.locator(".menu [data-set-theme=system]").click()
    assert not page.evaluate(is_dark)

"""What holds on every page of the admin: it is in the product's clothes, and nobody meets an obstacle there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Site, Watched
from tests.e2e.test_pages import AXE, Theme, furnished

__all__ = ["furnished"]
# The first test starts the whole platform.
pytestmark = pytest.mark.timeout(900)
EVERY_RULE = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  const where = (node) => `${node.target.join(" ")} ${[...node.any, ...node.all, ...node.none][0]?.message ?? ""}`;
  return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 4).map(where).join(" | ")}`);
}"""


def routes(user: Any) -> Iterator[str]:
    """Yield the admin's index, and of each model its list, the same with nothing in it, and the pages of a row."""
    from django.contrib import admin
    from django.test import RequestFactory
    from django.urls import reverse

    request = RequestFactory().get("/")
    request.user = user
    yield "/admin/"
    yield "/admin/password_change/"
    yield reverse("admin:auth_user_password_change", args=[user.pk])
    yield from {f"/admin/{model._meta.app_label}/": None for model in admin.site._registry}
    for model, kept in admin.site._registry.items():
        meta = model._meta
        name = f"admin:{meta.app_label}_{meta.model_name}"
        yield reverse(f"{name}_changelist")
        yield f"{reverse(f'{name}_changelist')}?{meta.pk.name}__exact=0"
        if (
            kept.has_add_permission(request) and meta.model_name != "dataset"
        ):  # that leads to the site's own form
            yield reverse(f"{name}_add")
        row = kept.get_queryset(_listed(request)).order_by("-pk").first()
        if row is not None:
            yield reverse(f"{name}_change", args=[row.pk])
            yield reverse(f"{name}_history", args=[row.pk])
            if kept.has_delete_permission(request, row):
                yield reverse(f"{name}_delete", args=[row.pk])


def _listed(request: Any) -> Any:
    request.resolver_match = None
    return request


@pytest.mark.parametrize(
    "theme",
    [pytest.param("light", marks=pytest.mark.long(90)), pytest.param("dark", marks=pytest.mark.long(90))],
)
def test_no_page_of_the_admin_has_an_error_or_an_obstacle(
    site: Site, furnished: Any, visit: Callable[..., Watched], theme: Theme
) -> None:
    watched = visit(site.admin, color_scheme=theme)
    wrong = []
    for route in routes(site.admin):
        assert watched.open(route).status == 200, route
        watched.until("!document.documentElement.hasAttribute('x-cloak')")
        watched.page.wait_for_load_state("networkidle")
        watched.assert_clean()
        watched.page.evaluate(AXE.read_text())
        wrong += [f"{route}, {theme}: {each}" for each in watched.page.evaluate(EVERY_RULE)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.long(21)
def test_the_admin_has_the_theme_that_was_chosen_on_the_site_and_leads_back(
    site: Site, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin, color_scheme="light")
    page = watched.page
    page.locator("#live[data-state=live]").wait_for()  # the page's scripts are there
    page.locator("summary[aria-label^='Menu of']").click()
    page.locator("[data-set-theme=dark]").click()
    watched.open("/admin/")
    dark = "getComputedStyle(document.body).backgroundColor"
    there = page.evaluate(dark)
    assert page.evaluate("document.documentElement.className").split() == ["dark"]
    page.locator("summary[aria-label^='Menu of']").click()
    page.locator("[data-set-theme=light]").click()
    assert page.evaluate(dark) != there
    page.keyboard.press("Escape")
    assert page.locator(".menu[open]").count() == 0
    page.locator(".rail").get_by_role("link", name="Jobs").click()
    page.wait_for_url("**/jobs/")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_the_admin_fits_a_phone_and_its_lists_lie_behind_a_button(
    site: Site, furnished: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    page = watched.page
    page.set_viewport_size({"width": 320, "height": 640})
    for route in ("/admin/", "/admin/jobs/job/", f"/admin/jobs/job/{furnished.pk}/change/"):
        watched.open(route)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, route
    assert not page.locator("#nav-sidebar").is_visible()
    page.get_by_role("button", name="Lists").click()
    page.locator("#nav-sidebar").get_by_role("link", name="Workers").click()
    page.wait_for_url("**/admin/jobs/worker/")

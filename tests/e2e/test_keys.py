"""Keys go through the rows of a list, say so in their help, and none fires while one types."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import Site

# The first test starts the whole platform.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def jobs(site: Site) -> list[Any]:
    """Return two trainings that have ended, so that there are rows to go through."""
    return [site.stack.state(site.stack.submit(site.branch, 20), "SUCCEEDED") for _ in range(2)]


def test_j_and_k_go_through_the_rows_of_a_list(site, visit, jobs):
    watched = visit(site.admin)
    watched.open("/jobs/")
    page = watched.page
    for key, row in (("j", 0), ("j", 1), ("k", 0), ("k", 0)):
        page.keyboard.press(key)
        watched.until(
            f"document.activeElement.closest('tr') === document.querySelectorAll('main tbody tr')[{row}]"
        )
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keyboard").get_by_text("the next row, the one before").wait_for()
    page.keyboard.press("Escape")
    watched.assert_clean()


def test_they_are_letters_where_one_types(site, visit, jobs):
    watched = visit(site.admin)
    watched.open("/evaluate/")
    field = watched.page.get_by_label("Filter by name")
    field.press_sequentially("jk")
    assert field.input_value() == "jk"

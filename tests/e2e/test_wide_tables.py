"""A table that is wider than its place keeps in sight whose numbers they are, while all others are scrolled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import Site, Watched
from tests.e2e.test_pages import furnished

__all__ = ["furnished"]
pytestmark = pytest.mark.timeout(600)
# Of each table that was scrolled to its end: its name, and how far from its place stands what names the first row and
# the head above it; -1 where something lies over them.
NAMES = """() => [...document.querySelectorAll(".scroll:has(> table > tbody > tr > th[scope=row])")].map((box) => {
  box.querySelector("table").style.minWidth = `${box.clientWidth + 300}px`;
  const heads = [...box.querySelectorAll("thead tr:last-child > th")];
  const row = box.querySelector("tbody th[scope=row]");
  const head = heads[[...row.parentElement.children].indexOf(row)];
  box.scrollLeft = 1e4;
  const left = box.getBoundingClientRect().left + box.clientLeft;
  const far = (cell) => {
    scrollBy({ top: cell.getBoundingClientRect().top - innerHeight / 2, behavior: "instant" });
    const { x, top, height } = cell.getBoundingClientRect();
    const over = document.elementFromPoint(x + 6, top + height / 2);
    return cell.contains(over) ? Math.round(x - left) : -1;
  };
  return [box.ariaLabel, box.scrollLeft > 100, far(row), far(head)];
})"""


def test_the_names_of_the_rows_stay_where_a_table_is_scrolled(
    site: Site, furnished: Any, visit: Callable[..., Watched]
) -> None:
    watched = visit(site.admin)
    slug = site.branch.experiment.slug
    found: list[Any] = []
    for route in (f"/experiments/{slug}/", "/experiments/", "/jobs/", "/evaluate/", "/runs/", "/datasets/"):
        watched.open(route)
        found += watched.page.evaluate(NAMES)
    names = {name for name, *_ in found}
    assert {"Branches", "Checkpoints", "Table of jobs", "Ranking", "Runs"} <= names
    assert [each for each in found if each[1:] != [True, 0, 0]] == []
    watched.assert_clean()

"""Nothing moves under a pointer: a double click on what opens something opens it, and begins nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import Site, Watched, at_rest

pytestmark = pytest.mark.timeout(600)
OPENERS = "summary, a[role=button][aria-expanded], main a[hx-get], button[aria-haspopup]"
BETWEEN_MS = 200
"""Between the clicks of a slow double click: whatever opens has had the time to be there."""
UNDER = """([x, y]) => {
  const button = document.elementFromPoint(x, y)?.closest('button:not([type=button])');
  return button && button.form?.method === 'post' ? button.textContent.trim() || button.name : '';
}"""


@pytest.fixture(scope="module")
def pages(site: Site) -> list[str]:
    """Return the pages on which something opens, of a branch at rest that has all there is to do."""
    from accsite.apps.training.models import Checkpoint

    branch = at_rest(site, "double")
    node = Checkpoint.objects.filter(branch=branch).order_by("pk").last()
    assert node is not None
    slug = branch.experiment.slug
    return [
        f"/w/{slug}/{branch.slug}/",
        f"/experiments/{slug}/?node={node.pk}",
        f"/checkpoints/{node.pk}/",
        f"/jobs/{node.job_id}/",
        f"/evaluate/{node.pk}/metrics/",
        f"/compare/?a={node.pk}&b={node.parent_id or node.pk}",
        "/datasets/",
        f"/datasets/{branch.tasks.first().dataset.slug}/",
        "/experiments/",
        "/devices/",
        "/plugins/",
    ]


@pytest.mark.long(38)
def test_a_double_click_on_what_opens_something_begins_nothing(
    site: Site, pages: list[str], visit: Callable[..., Watched]
) -> None:
    from accsite.apps.jobs.models import Job

    watched = visit(site.admin)
    page = watched.page
    sent: list[str] = []
    # That news were read is kept when the bell closes: no deed, and nothing that begins.
    asks = lambda request: request.method != "GET" and not request.url.endswith("/news/seen/")  # noqa: E731
    page.on("request", lambda request: sent.append(request.url) if asks(request) else None)
    jobs = Job.objects.count()
    for address in pages:
        watched.open(address)
        page.wait_for_load_state("networkidle")
        seen: set[str] = set()
        while (opener := next_opener(page, seen)) is not None:
            name = f"{opener.evaluate('(e) => e.outerHTML.slice(0, 120)')} of {address}"
            opener.scroll_into_view_if_needed()
            box = opener.bounding_box()
            assert box is not None, name
            x, y = box["x"] + min(box["width"] / 2, 40), box["y"] + box["height"] / 2
            page.mouse.click(x, y)
            page.wait_for_timeout(BETWEEN_MS)
            page.mouse.move(x, y)
            page.mouse.down(click_count=2)
            page.mouse.up(click_count=2)
            assert page.evaluate(UNDER, [x, y]) == "", name
            page.wait_for_timeout(50)
            assert sent == [], name
            page.keyboard.press("Escape")
        assert seen, f"nothing opens on {address}"
    assert Job.objects.count() == jobs
    watched.assert_clean()


def next_opener(page: Any, seen: set[str]) -> Any:
    """Return the next control that opens something and can be seen, and note it; None where all were tried."""
    for opener in page.locator(OPENERS).all():
        if not opener.is_visible():
            continue
        words = opener.evaluate("(e) => `${e.id} ${e.closest('[id]')?.id} ${e.textContent.trim()}`")
        if words not in seen:
            seen.add(words)
            return opener
    return None

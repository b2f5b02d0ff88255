"""In a real browser a checkpoint is measured, its pictures are moved through, and two are compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from acc.specs import EVAL_PARTS
from tests.e2e.conftest import Site, Watched, at_rest

# The first test starts the whole platform.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def ends(site: Site) -> list[Any]:
    """Two checkpoints of a branch of their own, at rest."""
    branch = at_rest(site, "measured")
    return list(branch.experiment.checkpoints.filter(kind="final").order_by("pk"))


@pytest.fixture(scope="module")
def measured(site: Site, ends: list[Any]) -> list[Any]:
    """The same, measured in every part."""
    from accsite.apps.training.services import jobs

    for each in ends:
        job = jobs.submit_evaluation(actor=None, checkpoint=each, eval={"suite": list(EVAL_PARTS)})
        site.stack.state(job, "SUCCEEDED")
    return ends


def opened(visit: Callable[..., Watched], site: Site, where: str) -> Watched:
    """Return a live page."""
    watched = visit(site.admin)
    watched.open(where)
    watched.page.locator("#live[data-state=live]").wait_for()
    return watched


def test_other_images_are_asked_for_and_come_by_themselves(
    site: Site, ends: list[Any], visit: Callable[..., Watched]
) -> None:
    watched = opened(visit, site, f"/evaluate/{ends[0].pk}/reconstructions/")
    page = watched.page
    fixed = page.locator("[data-scrub] img").first.get_attribute("src")
    page.get_by_role("button", name="Other images").click()
    page.get_by_text("images of seed").wait_for()
    page.locator(f"[data-scrub] img:not([src='{fixed}'])").first.wait_for()
    page.get_by_role("link", name="The fixed images").click()
    page.locator(f"[data-scrub] img[src='{fixed}']").wait_for()
    watched.assert_clean()


def test_the_step_under_the_pointer_is_marked_in_every_figure(
    site: Site, measured: list[Any], visit: Callable[..., Watched]
) -> None:
    watched = opened(visit, site, f"/evaluate/{measured[1].pk}/traversals/")
    page = watched.page
    figures = page.locator("figure.traversal").count()
    page.locator("figure.traversal [data-step='3'] .hit").first.hover()
    assert page.locator("[data-step='3'].on").count() == figures
    assert page.locator("figure.traversal .readout").first.inner_text().startswith("step 3: ")
    watched.assert_clean()


def test_a_branch_is_scrubbed_and_maps_are_faded(
    site: Site, measured: list[Any], visit: Callable[..., Watched]
) -> None:
    watched = opened(visit, site, f"/evaluate/{measured[1].pk}/reconstructions/")
    page = watched.page
    image = page.locator("[data-scrub] img").first
    before = image.get_attribute("src")
    page.locator("[data-frames]").first.fill("0")
    watched.until(f"document.querySelector('[data-scrub] img').getAttribute('src') !== {before!r}")
    assert f"at step {measured[0].step}" in (image.get_attribute("alt") or "")
    watched.assert_clean()


def test_a_choice_shows_what_it_chose_and_a_cell_what_is_behind_it(
    site: Site, measured: list[Any], visit: Callable[..., Watched]
) -> None:
    watched = opened(visit, site, f"/evaluate/{measured[1].pk}/ufr/")
    page = watched.page
    page.get_by_label("Checkpoint", exact=True).select_option(str(measured[0].pk))
    page.wait_for_url(f"**/evaluate/{measured[0].pk}/ufr/**")
    page.locator("table.matrix a").first.click()
    page.wait_for_url("**cell=**")
    watched.assert_clean()


def test_a_film_plays_the_branch_and_ends_by_itself(
    site: Site, measured: list[Any], visit: Callable[..., Watched]
) -> None:
    watched = opened(visit, site, f"/evaluate/{measured[1].pk}/reconstructions/")
    page = watched.page
    page.evaluate("""() => {
        window.shown = [];
        new MutationObserver(() => window.shown.push(document.querySelector("[data-scrub] output").textContent))
            .observe(document.querySelector("[data-scrub] output"), { childList: true });
    }""")
    page.get_by_role("button", name="Play").first.click()
    page.get_by_role("button", name="Play").first.wait_for()
    watched.until("window.shown.length >= 2")
    steps = [each.step for each in measured]
    shown = [int(text.strip().replace(",", "")) for text in page.evaluate("window.shown")]
    assert shown == sorted(shown)
    assert {min(steps), max(steps)} <= set(shown)
    page.get_by_role("button", name="Play").first.wait_for()
    watched.assert_clean()


def test_two_of_the_ranking_are_ticked_and_compared(
    site: Site, measured: list[Any], visit: Callable[..., Watched]
) -> None:
    watched = opened(visit, site, "/evaluate/?of=checkpoints&metric=reconstruction/loss/handwritten-digits")
    page = watched.page
    compare = page.get_by_role("button", name="Compare", exact=True)
    assert compare.is_disabled()
    for each in measured:
        page.locator(f"[name=pick][value='{each.pk}']").check()
    page.get_by_role("button", name="Compare 2").click()
    page.wait_for_url("**/compare/?a=**")
    assert page.locator(".chip-of").count() == 2
    watched.assert_clean()


def test_a_checkpoint_is_found_while_its_name_is_typed(
    site: Site, measured: list[Any], visit: Callable[..., Watched]
) -> None:
    first, second = measured
    watched = opened(visit, site, f"/compare/?a={first.pk}")
    page = watched.page
    page.locator("#find").fill("no such name")
    page.get_by_text("No checkpoint is found by “no such name”").wait_for()
    page.locator("#find").fill(f"{first.branch.name} {second.step}")
    page.locator(f"#found a[href*='b={second.pk}']").click()
    page.wait_for_url(f"**/compare/?a={first.pk}&b={second.pk}")
    page.get_by_role("heading", name="What differs").wait_for()
    page.get_by_role("link", name=f"Take B away: {second}").click()
    page.wait_for_url(f"**/compare/?a={first.pk}")
    watched.assert_clean()


def test_two_checkpoints_are_compared_and_taken_home(
    site: Site, measured: list[Any], visit: Callable[..., Watched]
) -> None:
    first, second = measured
    watched = opened(visit, site, f"/compare/?a={first.pk}&b={second.pk}")
    page = watched.page
    page.get_by_role("columnheader", name="B − A").wait_for()  # noqa: RUF001 - a minus sign
    page.get_by_role("link", name="Traversals", exact=True).click()
    page.wait_for_url("**tab=traversals**")
    page.locator("summary", has_text="Export").click()
    with page.expect_download() as pending:
        page.locator("[data-save]").first.click()
    assert pending.value.suggested_filename.endswith(".png")
    watched.assert_clean()


def test_the_losses_of_two_checkpoints_lie_over_one_another_and_are_zoomed_at_rest(
    site: Site, ends: list[Any], visit: Callable[..., Watched]
) -> None:
    a, b = (each.pk for each in ends[:2])
    watched = opened(visit, site, f"/compare/?a={a}&b={b}&tab=losses")
    page = watched.page
    plot = page.locator("[data-series='raw/reconstruction']")
    plot.locator("canvas").wait_for()
    page.wait_for_load_state("networkidle")
    box = plot.locator(".u-over").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 20, middle)
    tip = plot.locator(".tip")
    tip.wait_for()
    assert {"A", "B"} <= {text[0] for text in tip.locator(".clip").all_inner_texts()}
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.up()
    watched.until("new URLSearchParams(location.search).get('to') !== null")
    page.locator("[data-log]").click()
    assert "y=linear" in page.url
    page.locator("[data-whole]").click()
    watched.until("new URLSearchParams(location.search).get('to') === null")
    page.wait_for_load_state("networkidle")
    asked = len(watched.requests)
    page.wait_for_timeout(1500)
    assert len(watched.requests) == asked
    watched.assert_clean()

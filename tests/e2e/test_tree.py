"""An experiment's tree in a real browser: walked by keys, forked, marked, pruned of a leaf and given back, grown."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import Site, Watched, at_rest

# The first test starts the whole platform.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def line(site: Site) -> list[Any]:
    """Two checkpoints on a branch of their own experiment, the second grown from the first, at rest."""
    return list(at_rest(site, "grown").experiment.checkpoints.order_by("pk"))


def opened(visit: Callable[..., Watched], site: Site, node: Any) -> Watched:
    """Return a page of the experiment with ``node`` beside its tree, live."""
    watched = visit(site.admin)
    watched.open(f"/experiments/{node.experiment.slug}/?node={node.pk}")
    watched.page.locator("#live[data-state=live]").wait_for()
    watched.page.locator(f"[role=treeitem][data-id='{node.pk}'][aria-selected=true]").wait_for()
    return watched


def box(page: Any, selector: str) -> Any:
    """Return where an element is on the screen."""
    found = page.locator(selector).bounding_box()
    assert found is not None, selector
    return found


def in_menu(page: Any, action: str) -> None:
    """Open what the menu of the checkpoint has beside its three buttons."""
    page.locator("#node summary", has_text="More").click()
    page.locator("#node .more-acts summary", has_text=action).click()


def test_the_sheet_of_a_checkpoint_opens_beside_the_tree_and_escape_gives_the_tree_its_room_back(
    site: Site, line: list[Any], visit: Callable[..., Watched]
) -> None:
    first = line[0]
    watched = visit(site.admin)
    page = watched.page
    watched.open(f"/experiments/{first.experiment.slug}/")
    item = page.locator(f"[role=treeitem][data-id='{first.pk}']")
    item.wait_for()
    wide = box(page, "#tree")["width"]
    item.hover()
    card = page.locator("#tree-card")
    card.get_by_text("main at step", exact=False).or_(
        card.get_by_text("grown at step", exact=False)
    ).wait_for()
    assert card.get_attribute("aria-hidden") == "true"  # the node itself says the same
    item.click()
    page.locator(f"#node[data-node-id='{first.pk}']").wait_for()
    assert box(page, "#tree")["width"] < wide - 300
    assert box(page, "#node")["x"] > box(page, "#tree")["x"] + 300
    page.keyboard.press("Escape")
    page.locator("#node.node-none").wait_for()
    assert box(page, "#tree")["width"] == wide
    assert "node=" not in page.url
    page.go_back()
    page.locator(f"#node[data-node-id='{first.pk}']").wait_for()
    watched.assert_clean()


def test_the_tree_is_drawn_by_steps_or_by_depth_and_says_so_in_its_address(
    site: Site, line: list[Any], visit: Callable[..., Watched]
) -> None:
    watched = opened(visit, site, line[0])
    page = watched.page
    ticks = page.locator(".tree-axis text")
    assert "10" in ticks.all_text_contents()
    page.locator("[name=axis]").select_option("depth")
    assert "axis=depth" in page.url
    assert ticks.all_text_contents() == ["0", "1", "2"]
    page.locator("[name=scale]").select_option("size")
    page.locator("#tree-legend", has_text="by size").wait_for()
    page.reload()
    page.locator("#tree-legend", has_text="by size").wait_for()
    watched.assert_clean()


def test_the_tree_is_walked_by_keys_and_each_node_is_read_beside_it(
    site: Site, line: list[Any], visit: Callable[..., Watched]
) -> None:
    first, last = line[0], line[-1]
    watched = opened(visit, site, first)
    page = watched.page
    page.locator(f"[role=treeitem][data-id='{first.pk}']").focus()
    page.keyboard.press("End")
    page.locator(f"#node[data-node-id='{last.pk}']").wait_for()
    assert f"node={last.pk}" in page.url
    assert page.evaluate("document.activeElement.dataset.id") == str(last.pk)
    page.keyboard.press("Home")
    page.locator(f"#node[data-node-id='{first.pk}']").wait_for()
    watched.assert_still()
    watched.assert_clean()


def test_a_node_is_tagged_starred_and_forked_and_the_tree_follows(
    site: Site, line: list[Any], visit: Callable[..., Watched]
) -> None:
    first = line[0]
    watched = opened(visit, site, first)
    page = watched.page
    page.get_by_label("Tag", exact=True).fill("the root")
    page.get_by_role("button", name="Save tag and note").click()
    item = page.locator(f"[role=treeitem][data-id='{first.pk}']")
    page.locator(f".tree-words [data-of='{first.pk}'] .tag", has_text="the root").wait_for()
    assert (item.get_attribute("aria-label") or "").startswith("the root, step")
    page.get_by_role("button", name="star").click()
    page.get_by_role("button", name="starred").wait_for()
    page.locator("#node summary", has_text="Fork").click()
    page.get_by_label("Name of the new branch").fill("side")
    page.get_by_role("button", name="Fork", exact=True).click()
    page.get_by_text("Branch side begins here.").wait_for()
    site.stack.until(lambda: "head of side" in (item.get_attribute("aria-label") or ""), what="the ring")
    first.refresh_from_db()
    assert (first.tag, first.starred) == ("the root", True)
    watched.assert_clean()


def test_what_was_done_is_said_though_the_page_heard_of_it_before_it_was_answered(
    site: Site, line: list[Any], visit: Callable[..., Watched]
) -> None:
    watched = opened(visit, site, line[0])
    page = watched.page

    def late(route: Any) -> None:
        answer = route.fetch()
        time.sleep(0.5)  # meanwhile the socket tells the page, which wants to fetch the panel anew
        route.fulfill(response=answer)

    page.route("**/fork/", late)
    page.locator("#node summary", has_text="Fork").click()
    page.get_by_label("Name of the new branch").fill("late")
    page.get_by_role("button", name="Fork", exact=True).click()
    said = page.get_by_text("Branch late begins here.")
    said.wait_for()
    page.wait_for_timeout(500)
    assert said.is_visible()
    page.locator("#node .chip", has_text="head of late").wait_for()
    watched.assert_clean()


def test_a_leaf_is_deleted_and_given_back_and_what_is_needed_is_not_deleted(
    site: Site, line: list[Any], visit: Callable[..., Watched]
) -> None:
    from accsite.apps.training.models import Checkpoint
    from accsite.apps.training.services import branches

    first, last = line[0], line[-1]
    watched = opened(visit, site, last)
    page = watched.page
    in_menu(page, "Delete")
    page.get_by_text("It cannot be deleted: it is the head of branch").wait_for()
    assert page.get_by_role("button", name=f"Delete checkpoint {last.pk}").count() == 0
    branches.load_checkpoint(actor=None, branch=last.branch, checkpoint=first)
    page.get_by_role("button", name=f"Delete checkpoint {last.pk}").click()
    page.get_by_role("button", name="Undo").wait_for()
    item = page.locator(f"[role=treeitem][data-id='{last.pk}']")
    item.wait_for(state="detached")
    assert not Checkpoint.objects.filter(pk=last.pk).exists()
    page.get_by_role("button", name="Undo").click()
    item.wait_for()
    assert Checkpoint.objects.filter(pk=last.pk).exists()


def test_a_model_is_expanded_from_the_page_and_the_new_node_appears(
    site: Site, line: list[Any], visit: Callable[..., Watched]
) -> None:
    from accsite.apps.training.models import Checkpoint

    last = line[-1]
    watched = opened(visit, site, last)
    page = watched.page
    in_menu(page, "Expand")
    page.get_by_label("Where").select_option("latent")
    page.get_by_label("New branch", exact=True).fill("wider")
    page.get_by_role("button", name="Expand", exact=True).click()
    page.get_by_text("grows the model").wait_for()
    grown = page.locator("[role=treeitem][data-kind=expanded]")
    grown.wait_for()
    made = Checkpoint.objects.get(experiment=last.experiment, kind="expanded")
    assert made.parent == last
    assert made.spec["model"]["latent_dim"] == last.spec["model"]["latent_dim"] + 1
    assert Checkpoint.objects.get(pk=last.pk).sha256 == last.sha256
    watched.assert_clean()


def test_the_head_that_a_job_trains_pulses_until_it_ends(site: Site, visit: Callable[..., Watched]) -> None:
    from accsite.apps.training.services import jobs

    branch = at_rest(site, "pulse")
    branch.refresh_from_db()
    watched = opened(visit, site, branch.experiment.checkpoints.get(pk=branch.head_id))
    live = watched.page.locator("#tree-plot .tree-node .live")
    assert live.count() == 0
    job = site.stack.submit(branch, 200_000)
    live.wait_for(state="attached")
    assert live.evaluate("(each) => getComputedStyle(each).animationName") == "pulse"
    jobs.request_control(actor=site.admin, job=job, kind="stop", payload={})
    site.stack.state(job, "CANCELLED")
    live.wait_for(state="detached")
    watched.assert_clean()

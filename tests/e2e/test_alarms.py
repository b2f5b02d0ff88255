"""A training that diverges is told of on every page that shows it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.conftest import Site, Watched
from tests.e2e.test_pages import assert_accessible


@pytest.mark.long(21)
def test_a_job_that_diverges_says_so_in_the_list_the_header_the_tree_and_on_the_tab(
    site: Site, visit: Callable[..., Watched]
) -> None:
    branch = site.stack.branch("diverging")
    experiment, bench = branch.experiment.slug, f"/w/{branch.experiment.slug}/{branch.slug}/"
    listed = visit(site.admin)
    listed.open("/jobs/")
    tree = visit(site.admin)
    tree.open(f"/experiments/{experiment}/")
    watched = visit(site.admin)
    watched.open(bench)
    for each in (listed, tree, watched):
        each.page.locator("#live[data-state=live]").wait_for()

    job = site.stack.submit(branch, 1_000_000, lr=10.0, checkpoint_every_seconds=4)
    listed.page.locator(f"#job-{job.pk} .alarm", has_text="Divergence").wait_for()
    for place in ("#job", "#topjob", f"#job-{job.pk}"):
        watched.page.locator(f"{place} .alarm", has_text="Divergence").wait_for()
    watched.until(r"/^(\(\d+\) )?⚠ /.test(document.title)")  # before it, how much is unread
    assert "diverges" in watched.page.locator("#alarms .bad").first.inner_text()
    assert "⚠" not in listed.page.title(), "the tab of a page that is not about this job"

    mark = tree.page.locator(".tree-words .alarm").first
    mark.wait_for()
    tree.page.locator("#checkpoints .alarm", has_text="Divergence").first.wait_for()
    assert "alarm: Divergence" in (
        tree.page.locator("[role=treeitem]").last.get_attribute("aria-label") or ""
    )
    assert_accessible(tree, "the tree of a job that diverges")
    assert_accessible(watched, "the workbench of a job that diverges")
    watched.page.locator("#topjob summary").click()
    watched.page.get_by_role("button", name="Stop job").click()
    site.stack.state(job, "CANCELLED")

    for each in (listed, tree, watched):
        each.assert_clean()

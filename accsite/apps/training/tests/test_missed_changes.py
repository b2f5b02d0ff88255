"""Whatever changes while a panel is read is in what it shows, or the panel shows a version that is older than it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import control
from accsite.apps.jobs.states import JobState
from accsite.apps.live import selectors as live
from accsite.apps.live.services import bump
from accsite.apps.training.models import Branch, Checkpoint
from accsite.apps.training.tests import rows

PANEL = re.compile(r'id="([\w-]+)"[^>]*?data-topics="([^"]*)"', re.DOTALL)


@pytest.fixture
def browser(client: Client, user: Any) -> Client:
    user.is_superuser = True
    user.save()
    client.force_login(user)
    return client


Change = Callable[[], object]


class ChangeBefore:
    """Makes a change just before the n-th query of what runs within it; knows whether there were so many."""

    def __init__(self, at: int, change: Change) -> None:
        self.left, self.change, self.changing = at, change, False

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not self.changing:
            if self.left == 0:
                self.changing = True
                self.change()
                self.changing = False
            self.left -= 1
        return execute(sql, params, many, context)

    @property
    def made(self) -> bool:
        return self.left < 0


def versions_shown(html: str, panel: str) -> dict[str, int]:
    """Return topic -> version of a panel, as its HTML names them."""
    found = next(topics for name, topics in PANEL.findall(html) if name == panel)
    return {name: int(at) for name, _, at in (pair.rpartition("=") for pair in found.split())}


def missed(browser: Client, url: str, panel: str, word: str, changes: tuple[Change, Change]) -> list[int]:
    """Return before which queries of ``url`` a change is neither shown, as ``word``, nor fetched by the page later."""
    (change, undo), found = changes, []
    for at in range(100):
        between = ChangeBefore(at, change)
        with connection.execute_wrapper(between):
            html = browser.get(url, headers={"HX-Request": "true"}).text
        if not between.made:
            break
        shown = versions_shown(html, panel)
        assert shown, f"the panel {panel} listens to nothing"
        late = any(version > shown[name] for name, version in live.versions(list(shown)).items())
        if word not in html and not late:
            found.append(at)
        undo()
    else:
        raise AssertionError(f"{url} makes more than 100 queries")
    assert at > 3, f"{url} makes {at} queries only"
    return found


@pytest.fixture
def ends(branch: Branch, user: Any) -> tuple[Job, Change, Change]:
    """Return a job that waits, what ends it, and what lets it wait again."""
    job = rows.make_job(branch, state=JobState.QUEUED)
    first = {field.attname: getattr(job, field.attname) for field in Job._meta.concrete_fields}
    rows_of_it = Job.objects.filter(pk=job.pk)
    return (
        job,
        lambda: control.stop(actor=user, job=rows_of_it.get()),
        lambda: rows_of_it.update(**first),
    )


@pytest.mark.parametrize(
    ("where", "panel", "word"),
    [
        ("/jobs/{job.pk}/panel/actions/", "actions", "Retry…"),
        ("/jobs/{job.pk}/panel/job/", "job", 'data-state="CANCELLED"'),
        ("/jobs/top/?job={job.pk}", "topjob", "No job"),
        ("/w/digits/main/panel/sent/?sent={job.pk}", "sent", ": stopped."),
        ("/w/digits/main/panel/job/", "job", "No training yet"),
        ("/w/digits/main/panel/jobs/", "jobs", 'data-state="CANCELLED"'),
    ],
)
def test_a_job_that_ends_while_a_panel_is_read_is_shown_or_fetched_anew(
    browser: Client, ends: tuple[Job, Change, Change], where: str, panel: str, word: str
) -> None:
    job, change, undo = ends
    assert missed(browser, where.format(job=job), panel, word, (change, undo)) == []


def test_a_head_that_moves_while_the_latent_is_read_is_shown_or_fetched_anew(
    browser: Client, branch: Branch
) -> None:
    first, second = (rows.make_checkpoint(branch, step=step) for step in (10, 20))

    def head(checkpoint: Checkpoint) -> None:
        Branch.objects.filter(pk=branch.pk).update(head=checkpoint)
        bump(f"checkpoints:{branch.experiment_id}")

    head(first)
    url = reverse("latent:heads", args=[branch.pk])
    moves = (lambda: head(second), lambda: head(first))
    assert missed(browser, url, "latent-heads", "step 20", moves) == []

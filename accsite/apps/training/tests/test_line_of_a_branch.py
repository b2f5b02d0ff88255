"""What led to a job is told with it: the jobs before it on its branch, and on the branch that was forked."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from acc import wire
from acc.training.protocols import PointBlock
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.pages import charts as chart_pages
from accsite.apps.training.pages.lines import MOST_JOBS, line
from accsite.apps.training.services import points
from accsite.apps.training.tests import rows


@pytest.fixture
def fork(branch: Branch) -> Branch:
    """A branch of two jobs, 300 steps after the 500 that led to the fork, which went on elsewhere."""
    first = rows.make_job(branch, state=JobState.SUCCEEDED)
    begun = rows.make_checkpoint(branch, first, step=300, job_step=300)
    second = rows.make_job(branch, state=JobState.SUCCEEDED, start_checkpoint=begun)
    forked = rows.make_checkpoint(branch, second, step=500, job_step=200, losses={"raw/reconstruction": 0.25})
    fork = Branch.objects.create(
        experiment=branch.experiment, name="fork", slug="fork", head=forked, forked_from=forked
    )
    dataset = rows.make_dataset("of-the-fork")
    rows.make_task(fork, dataset)
    return fork


def parts(found: list[dict[str, Any]]) -> list[tuple[int, int, bool, str]]:
    return [(part["first"], part["until"], part["own"], part["branch"]) for part in found]


def test_a_fork_without_a_job_shows_what_led_to_it(fork: Branch, branch: Branch) -> None:
    before = line(fork, None)
    assert before.first == 500
    assert parts(before.parts) == [(0, 300, False, branch.name), (300, 500, False, branch.name)]
    assert json.loads(before.told) == before.parts
    (told,) = chart_pages.legend(fork, None)
    assert (told.last, told.begun) == (0.25, True), (
        "its losses are those of the checkpoint that it begins from"
    )


def test_the_jobs_of_a_branch_are_joined_on_its_step(fork: Branch, branch: Branch) -> None:
    own = rows.make_job(fork, state=JobState.SUCCEEDED, start_checkpoint=fork.head)
    head = rows.make_checkpoint(fork, own, step=620, job_step=120)
    job = rows.make_job(fork, start_checkpoint=head)
    before = line(fork, job)
    assert before.first == 620
    name = branch.name
    assert parts(before.parts) == [(0, 300, False, name), (300, 500, False, name), (500, 620, True, "fork")]
    assert [part["job"] for part in before.parts][-1] == own.pk


def test_a_line_of_many_jobs_is_read_in_one_question(branch: Branch) -> None:
    head = None
    for number in range(1, MOST_JOBS + 4):
        job = rows.make_job(branch, state=JobState.SUCCEEDED, start_checkpoint=head)
        rows.make_checkpoint(branch, job, step=10 * number - 5, job_step=5, parent=head)  # on the way
        saved = rows.make_checkpoint(branch, job, step=10 * number, job_step=10, parent=head)
        head = rows.make_checkpoint(branch, None, step=10 * number, job_step=0, parent=saved)
    job = rows.make_job(branch, start_checkpoint=head)
    with CaptureQueriesContext(connection) as asked:
        found = line(branch, job)
    assert [part["until"] for part in found.parts] == [10 * number for number in range(4, MOST_JOBS + 4)]
    assert len(asked) == 1


def test_the_first_job_of_a_branch_has_nothing_before_it(branch: Branch) -> None:
    assert line(branch, rows.make_job(branch)).told == ""
    assert line(branch, None).told == ""


def test_a_checkpoint_without_a_job_is_passed_by(fork: Branch, branch: Branch) -> None:
    grown = rows.make_checkpoint(branch, None, step=500, job_step=0, parent=fork.head)
    assert parts(line(fork, rows.make_job(fork, start_checkpoint=grown)).parts)[-1][:2] == (300, 500)


def test_the_page_of_a_fork_tells_its_line_and_its_beginning(fork: Branch, user: Any) -> None:
    client = Client()
    client.force_login(user)
    page = client.get(reverse("training:workbench", args=[fork.experiment.slug, "fork"])).text
    assert 'data-first="500"' in page
    assert "where the branch begins" in page
    assert "0.25" in page


def test_tiles_stand_in_the_order_of_their_viewer(branch: Branch, task: Task, user: Any) -> None:
    rows.make_task(branch, task.dataset, key="slant", name="Slant")
    rows.make_task(branch, task.dataset, key="kl", name="KL")
    client = Client()
    client.force_login(user)
    address = reverse("training:workbench", args=[branch.experiment.slug, branch.slug])

    def order() -> list[int]:
        page = client.get(address).text
        return sorted(range(3), key=lambda i: page.index(f'id="tile-{[task.key, "slant", "kl"][i]}"'))

    assert order() == [0, 1, 2]
    client.cookies["tiles"] = "kl.gone"
    assert order() == [2, 0, 1], "those that were not put anywhere follow"


@pytest.mark.parametrize(("steps", "asked"), [(600, {"series"}), (5000, {"series", "points"})])
def test_the_page_fetches_beforehand_what_its_chart_asks_first(
    branch: Branch, task: Task, user: Any, steps: int, asked: set[str]
) -> None:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=9000)
    values = np.ones((2, steps), np.float32)
    points.append(job.pk, 1, PointBlock(0, (f"raw/{task.key}", "total"), values, 1.0, 2.0))
    job.refresh_from_db()
    client = Client()
    client.force_login(user)
    lines = chart_pages.legend(branch, job)
    address = chart_pages.first_look(job, lines, reverse("api:job-loss-history", args=[job.pk]))
    answer = client.get(address)
    assert answer["Content-Type"] == wire.CONTENT_TYPE
    header, columns = wire.decode(answer.content)
    assert header["series"] == [f"raw/{task.key}"]
    assert columns.shape[1] <= 1000
    assert ("points=" in address) == ("points" in asked)
    page = client.get(reverse("training:workbench", args=[branch.experiment.slug, branch.slug])).text
    assert address.replace("&", "&amp;") in page
    assert chart_pages.first_look(None, lines, address) == ""
    assert Job.objects.get(pk=job.pk).step == steps

"""The history of jobs tells what each came to, in a number of queries that does not grow with it."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from acc.training.protocols import PointBlock
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch
from accsite.apps.training.services import points
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.both_databases

URL = "/api/v1/jobs/history/"


@pytest.fixture
def api(user: Any) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


def past(branch: Branch, value: float = 0.5, *, blocks: int = 2) -> Job:
    """Return a job that trained two tasks for ``blocks`` steps in 90 s, its last loss ``value``."""
    start = timezone.now() - datetime.timedelta(seconds=100)
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=10, started_at=start)
    job.spec["tasks"] = [{"key": "b", "name": "Second"}, {"key": "a", "name": "First"}]
    job.save()
    for step in range(blocks):
        last = step == blocks - 1
        values = np.array([[value if last else 9], [np.nan if last else 2], [value * 2]], np.float32)
        points.append(job.pk, 1, PointBlock(step, ("raw/a", "raw/b", "total"), values, 0.0, 1.0))
    end = start + datetime.timedelta(seconds=90)
    Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED, finished_at=end)
    return job


def test_it_tells_steps_duration_and_the_final_loss_of_each_task(api: APIClient, branch: Branch) -> None:
    job = past(branch)
    (summary,) = api.get(URL).json()["results"]
    assert (summary["id"], summary["state"], summary["step"], summary["total_steps"]) == (
        job.pk,
        "SUCCEEDED",
        2,
        10,
    )
    assert summary["seconds"] == pytest.approx(90)
    assert summary["losses"] == [
        {"key": "b", "name": "Second", "loss": 2.0},
        {"key": "a", "name": "First", "loss": 0.5},
    ]
    assert (summary["total"], summary["experiment"], summary["branch"]) == (1.0, "digits", branch.pk)


def test_a_task_that_came_while_it_ran_has_its_name_and_an_infinite_loss_is_null(
    api: APIClient, branch: Branch, dataset: Dataset
) -> None:
    rows.make_task(branch, dataset, "late", name="Came late")
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1)
    block = PointBlock(0, ("raw/late",), np.array([[np.inf]], np.float32), 0.0, 1.0)
    points.append(job.pk, 1, block)
    (summary,) = api.get(URL).json()["results"]
    assert summary["losses"] == [{"key": "late", "name": "Came late", "loss": None}]
    assert (summary["total"], summary["seconds"]) == (None, None)


def test_it_is_narrowed_by_experiment_branch_kind_and_state(
    api: APIClient, user: Any, branch: Branch
) -> None:
    here, other = rows.make_job(branch), rows.make_job(rows.make_branch(user, "other"))
    measured = rows.make_job(branch, kind="evaluate", state=JobState.SUCCEEDED)

    def ids(query: str) -> list[int]:
        return [each["id"] for each in api.get(f"{URL}?{query}").json()["results"]]

    assert ids("") == [measured.pk, other.pk, here.pk]
    assert ids("experiment=digits") == [measured.pk, here.pk]
    assert ids(f"branch={other.branch_id}") == [other.pk]
    assert ids("kind=evaluate") == [measured.pk]
    assert ids("state=succeeded") == [measured.pk]


@pytest.mark.parametrize("query", ["branch=main", "kind=trane", "state=gone"])
def test_a_filter_that_is_none_is_refused_by_name(api: APIClient, query: str) -> None:
    answer = api.get(f"{URL}?{query}")
    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == [query.split("=", maxsplit=1)[0]]


def test_it_comes_in_pages_of_at_most_a_hundred(api: APIClient, branch: Branch) -> None:
    Job.objects.bulk_create(Job(kind="train", queue="train", branch=branch, spec={}) for _ in range(103))
    first = api.get(URL).json()
    assert (first["count"], len(first["results"])) == (103, 20)
    assert len(api.get(f"{URL}?limit=1000").json()["results"]) == 100
    rest = api.get(f"{URL}?limit=100&offset=100").json()
    assert (len(rest["results"]), rest["next"]) == (3, None)


def test_what_others_keep_private_is_not_in_it(api: APIClient) -> None:
    other = get_user_model().objects.create_user("bob")
    rows.make_job(rows.make_branch(other, "secret", visibility="private"))
    assert api.get(URL).json()["count"] == 0


def test_more_jobs_take_no_more_queries(api: APIClient, branch: Branch) -> None:
    past(branch)
    rows.make_job(branch)  # waits, and has a place
    with CaptureQueriesContext(connection) as few:
        assert len(api.get(URL).json()["results"]) == 2
    for number in range(12):
        past(branch, number, blocks=10)
    with CaptureQueriesContext(connection) as many:
        found = api.get(URL).json()["results"]
    assert len(found) == 14
    assert found[0]["losses"][1]["loss"] == 11
    assert len(many) == len(few) <= 11, [query["sql"][:90] for query in many.captured_queries]

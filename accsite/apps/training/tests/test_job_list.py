"""The list of jobs is chosen from by state and owner, and each choice says how many there are."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("reader"))
    return client


def choices(page: Any) -> dict[str, int]:
    return {choice.label: choice.count for choice in page.context["choices"]}


def test_each_choice_lists_as_many_jobs_as_it_says(reader: Client, branch: Branch) -> None:
    other = User.objects.create_user("other")
    me = User.objects.get(username="reader")
    for state, owner in (
        ("RUNNING", me),
        ("PAUSED", other),
        ("FAILED", me),
        ("FAILED", other),
        ("QUEUED", None),
    ):
        rows.make_job(branch, state=state, created_by=owner, attempt=1)
    rows.make_job(branch, kind="evaluate", preview=True, state="SUCCEEDED", created_by=me)
    page = reader.get("/jobs/")
    assert choices(page) == {"All": 5, "Running": 2, "Waiting": 1, "Failed": 2, "Mine": 2}
    for choice in page.context["choices"]:
        assert len(reader.get(f"/jobs/?{choice.query}").context["jobs"]) == choice.count, choice
    both = reader.get("/jobs/?state=FAILED&mine=1")
    assert [item.job.created_by for item in both.context["jobs"]] == [me]
    assert choices(both) == {"All": 2, "Running": 1, "Failed": 1, "Mine": 1}
    assert "Done" in choices(reader.get("/jobs/?previews=1"))


def test_an_unknown_state_lists_all_and_an_empty_choice_leads_back(reader: Client, branch: Branch) -> None:
    rows.make_job(branch, state="RUNNING", attempt=1)
    assert len(reader.get("/jobs/?state=dancing").context["jobs"]) == 1
    assert Job.objects.count() == 1
    empty = reader.get("/jobs/?state=LOST").content.decode()
    assert "No jobs of this kind" in empty
    assert "All jobs" in empty


def test_a_row_has_a_stop_for_who_may_while_the_job_runs_or_waits(user: Any, branch: Branch) -> None:
    client = Client()
    client.force_login(user)
    running = rows.make_job(branch, state=JobState.RUNNING, attempt=1)
    waiting = rows.make_job(rows.make_branch(user, "waits"), state=JobState.QUEUED)
    ended = rows.make_job(branch, state=JobState.SUCCEEDED)
    shown = client.get("/jobs/").text
    assert f"Stop job {running.pk}" in shown
    assert f"Cancel job {waiting.pk}" in shown
    assert f'id="row-stop-{ended.pk}"' not in shown
    answer = client.post(
        f"/jobs/{waiting.pk}/control/", {"kind": "cancel"}, headers={"Referer": "http://testserver/jobs/"}
    )
    assert answer["Location"] == "http://testserver/jobs/"
    assert Job.objects.get(pk=waiting.pk).state == JobState.CANCELLED

"""Each page shows its own job: the header says whose job it is, and a job that waits takes nothing from the running."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.services import control
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch
from accsite.apps.training.pages import jobs as job_pages
from accsite.apps.training.tests import rows
from accsite.tests.markup import folded


@pytest.fixture
def browser(client: Client, user: Any) -> Client:
    client.force_login(user)
    return client


@pytest.fixture
def running(branch: Branch) -> Job:
    return rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=100, step=40)


@pytest.fixture
def other(branch: Branch, user: Any) -> Branch:
    """Return another branch of the same experiment, on which nothing runs."""
    return Branch.objects.create(experiment=branch.experiment, name="other", slug="other")


def bench(branch: Branch) -> str:
    return reverse("training:workbench", args=[branch.experiment.slug, branch.slug])


def header(browser: Client, address: str) -> str:
    """Return the header's job on a page, as HTML."""
    page = folded(browser.get(address))
    return page.partition('id="topjob"')[2].partition('<div class="tools">')[0]


def test_the_header_says_whose_job_it_shows_and_only_its_own_page_can_end_it(
    browser: Client, branch: Branch, other: Branch, running: Job
) -> None:
    own = [bench(branch), reverse("training:job", args=[running.pk])]
    for address in [*own, bench(other), reverse("training:jobs"), reverse("trees:experiments")]:
        shown = header(browser, address)
        assert f"{branch.experiment.name} / {branch.name}" in shown
        assert f"job {running.pk}" in shown
        assert (f"Stop job {running.pk}" in shown, 'value="pause"' in shown) == ((address in own,) * 2)


def test_stopping_asks_and_names_the_job(browser: Client, branch: Branch, running: Job) -> None:
    shown = header(browser, bench(branch))
    before, question, after = shown.partition(f'<details class="menu ask" id="stop-{running.pk}"')
    assert question
    assert 'value="stop"' not in before
    assert " open" not in after.partition(">")[0]
    assert f"Stop job {running.pk} of {branch.experiment.name} / {branch.name}?" in after


def test_what_is_asked_from_a_page_is_answered_for_that_page(
    browser: Client, branch: Branch, other: Branch, running: Job
) -> None:
    mine = rows.make_job(other, state=JobState.RUNNING, attempt=1, total_steps=100)
    shown = header(browser, bench(branch))
    control = shown.partition('hx-post="')[2].partition('"')[0]
    answer = browser.post(control, {"kind": "pause"}, headers={"HX-Request": "true"}).text
    assert f'data-job="{running.pk}"' in answer
    assert "pausing" in answer
    assert f'data-job="{mine.pk}"' in header(browser, bench(other))
    assert "+1 " in answer


def test_the_header_of_a_page_whose_job_has_ended_controls_nothing(
    browser: Client, branch: Branch, other: Branch, running: Job
) -> None:
    ended = rows.make_job(other, state=JobState.SUCCEEDED)
    shown = header(browser, reverse("training:job", args=[ended.pk]))
    assert f'data-job="{running.pk}"' in shown
    assert "Stop" not in shown


def test_a_page_follows_what_runs_and_names_what_waits(browser: Client, branch: Branch, running: Job) -> None:
    waiting = rows.make_job(branch, state=JobState.QUEUED)
    assert job_pages.bench_job(branch, None) == running
    page = browser.get(bench(branch))
    assert page.context["job"] == running
    head = page.text.partition('id="job"')[2].partition("</div>")[0]
    assert f"job {waiting.pk}" in head
    assert "waits" in head
    Job.objects.filter(pk=running.pk).update(state=JobState.SUCCEEDED)
    assert job_pages.bench_job(branch, None) == running
    Job.objects.filter(pk=waiting.pk).update(state=JobState.CLAIMED)
    assert job_pages.bench_job(branch, None) == waiting
    assert (
        f"job {running.pk}"
        not in browser.get(bench(branch)).text.partition('id="job"')[2].partition("</div>")[0]
    )


def test_a_first_job_is_shown_while_it_waits(branch: Branch) -> None:
    first = rows.make_job(branch, state=JobState.QUEUED)
    rows.make_job(branch, state=JobState.QUEUED)
    assert job_pages.bench_job(branch, None) == first
    assert [job.pk for job, _ in job_pages.waiting_behind(branch, first)] == [first.pk + 1]


def test_a_job_cancelled_while_it_waited_takes_nothing_from_the_branch(
    branch: Branch, browser: Client, user: Any
) -> None:
    ran = rows.make_job(branch, state=JobState.SUCCEEDED, attempt=1, total_steps=100, step=100)
    waited = rows.make_job(branch, state=JobState.QUEUED, total_steps=100)
    control.cancel(actor=user, job=waited)
    assert job_pages.bench_job(branch, None) == ran
    assert f'data-of="{ran.pk}"' in browser.get(bench(branch)).text
    (told,) = job_pages.events(Job.objects.get(pk=waited.pk), {})
    assert (told.text, told.event.message, told.marked) == ("stopped", "cancelled before it began", False)
    shown = folded(browser.get(reverse("training:job", args=[waited.pk])))
    assert "Cancelled before it began." in shown
    assert "Waiting for the first step" not in shown


def test_a_branch_whose_only_job_was_cancelled_while_it_waited_has_no_training_yet(
    branch: Branch, browser: Client, user: Any
) -> None:
    control.cancel(actor=user, job=rows.make_job(branch, state=JobState.QUEUED))
    assert job_pages.bench_job(branch, None) is None
    assert "No training yet on this branch" in browser.get(bench(branch)).text


def test_the_head_of_a_branch_asks_as_much_for_seven_that_wait_as_for_one(
    branch: Branch, browser: Client, django_assert_num_queries: Any
) -> None:
    first = rows.make_job(branch, state=JobState.RUNNING)
    second = rows.make_job(branch, state=JobState.QUEUED)
    rows.make_worker("w")
    where = reverse("training:workbench-panel", args=[branch.experiment.slug, branch.slug, "job"])
    with CaptureQueriesContext(connection) as one:
        assert f"waits for job {first.pk}," in browser.get(where).text
    for _ in range(6):
        rows.make_job(branch, state=JobState.QUEUED)
    with django_assert_num_queries(len(one)):
        shown = browser.get(where).text
    assert f"waits for job {second.pk}," in shown
    assert f"waits for job {second.pk + 5}," in shown


def test_a_panel_of_a_job_reads_what_it_shows(
    branch: Branch, browser: Client, django_assert_max_num_queries: Any
) -> None:
    job = rows.make_job(branch, state=JobState.FAILED, message="It broke.")
    for name, shown in (("log", "Nothing was printed"), ("events", "events"), ("job_notice", "It broke.")):
        with django_assert_max_num_queries(12 if name == "job_notice" else 8):
            assert shown in browser.get(f"/jobs/{job.pk}/panel/{name}/").text


def test_the_header_of_a_page_asks_who_sees_what_only_while_something_is_at_work(
    user: Any, branch: Branch
) -> None:
    rows.make_job(branch, state=JobState.SUCCEEDED)
    with CaptureQueriesContext(connection) as asked:
        assert job_pages.top_job(user)["job"] is None
    assert not any("recipes_reciperun" in query["sql"] for query in asked)


def test_the_header_counts_and_chooses_among_all_that_is_at_work_in_one_query(
    branch: Branch, other: Branch, user: Any
) -> None:
    oldest = rows.make_job(branch, state=JobState.RUNNING)
    for _ in range(25):
        rows.make_job(other, state=JobState.QUEUED)
    mine = rows.make_job(other, state=JobState.RUNNING, kind=JobKind.EVALUATE)
    with CaptureQueriesContext(connection) as asked:
        shown = job_pages.top_job(user)
    assert (shown["job"], shown["own"], shown["others"]) == (oldest, False, 26)
    reads = [query["sql"] for query in asked if 'FROM "jobs_job"' in query["sql"]]
    assert [sql.startswith("SELECT 1 ") for sql in reads] == [True, False], (
        "whether there is any, then all at once"
    )
    shown = job_pages.top_job(user, job=mine.pk)
    assert (shown["job"], shown["own"], shown["others"]) == (mine, True, 26)
    assert job_pages.top_job(user, branch=other.pk)["job"].state == JobState.QUEUED, "trainings first"

"""The bell tells each user what happened and what waits, of what they may see, and up to where they have read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.template import Context, Template
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accsite.apps.audit.models import AuditEntry
from accsite.apps.jobs.models import Job, JobEvent
from accsite.apps.jobs.selectors import waits_for
from accsite.apps.jobs.selectors.workers import worker_rows
from accsite.apps.jobs.states import JobState
from accsite.apps.live import topics
from accsite.apps.live.models import Topic
from accsite.apps.news import selectors, services
from accsite.apps.news.models import Seen
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.registry.models import PluginFile
from accsite.apps.training.models import Branch, Visibility
from accsite.apps.training.tests import rows
from accsite.tests.browsers import signed_in
from accsite.tests.markup import folded

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", date_joined=timezone.now() - timedelta(days=9))


@pytest.fixture
def branch(ada: User) -> Branch:
    return rows.make_branch(ada)


def ended(
    branch: Branch | None, state: JobState = JobState.SUCCEEDED, message: str = "done", **fields: Any
) -> Job:
    """Return a job that ended so, as the services leave it."""
    job = rows.make_job(branch, state=state, message=message, **fields)
    told(job, state, message)
    return job


def told(job: Job, state: JobState, message: str = "") -> JobEvent:
    return JobEvent.objects.create(
        job=job, kind="state", payload={"state": state, "attempt": 1}, message=message
    )


def words(user: User, **how: Any) -> list[str]:
    return [each.word for each in selectors.news(user, **how)]


def test_ends_losses_and_alarms_are_news_and_beginnings_and_stops_are_none(ada: User, branch: Branch) -> None:
    job = ended(branch)
    told(job, JobState.CLAIMED)
    told(job, JobState.QUEUED)
    ended(branch, JobState.CANCELLED)
    ended(branch, JobState.SUCCEEDED, result={"diverged": True})
    ended(branch, JobState.FAILED, "ValueError: boom")
    told(job, JobState.LOST, "w did not report")
    JobEvent.objects.create(
        job=job, kind="alarm", payload={"alarm": "nan"}, message="the loss is not a number"
    )
    JobEvent.objects.create(job=job, kind="baseline", payload={"task": "kl"})
    assert words(ada) == ["Not a number", "lost", "failed", "ended, diverged", "done"]
    assert selectors.counts(ada).unread == 5
    assert selectors.counts(ada).failed == 2


def test_that_a_part_of_a_recipe_is_done_is_no_news_and_that_it_failed_is(ada: User, branch: Branch) -> None:
    run = RecipeRun.objects.create(recipe="Study", label="s", job=ended(branch, title="study of two"))
    for path, state in enumerate((JobState.SUCCEEDED, JobState.FAILED)):
        job = ended(branch, state)
        RecipeStep.objects.create(run=run, path=str(path), verb="train", job=job, owns_job=True)
    assert words(ada) == ["failed", "done"]
    assert selectors.counts(ada).unread == 2


def test_a_failure_leads_to_its_log_and_a_measurement_to_what_was_measured(ada: User, branch: Branch) -> None:
    node = rows.make_checkpoint(branch)
    ended(branch, kind="evaluate", checkpoint=node)
    failed = ended(branch, JobState.FAILED, "ValueError: boom")
    first, second = selectors.news(ada)
    assert (first.sentence, first.log) == ("ValueError: boom", f"/jobs/{failed.pk}/?tab=log")
    assert second.url == f"/evaluate/{node.pk}/"
    assert second.sentence == ""


def test_a_plugin_that_does_not_load_is_news_until_it_does(ada: User) -> None:
    file = PluginFile.objects.create(path="tasks/x.py", sha256="0" * 64, error="no such name", error_line=3)
    (news,) = selectors.news(ada)
    assert (news.title, news.sentence, news.url) == (
        "tasks/x.py:3",
        "no such name",
        f"/plugins/#broken-{file.pk}",
    )
    assert selectors.counts(ada).unread == 1
    PluginFile.objects.update(error="")
    assert selectors.news(ada) == []


def test_what_others_did_is_told_to_whoever_asks_and_may_see_it(ada: User, branch: Branch) -> None:
    bob = User.objects.create_user("bob", date_joined=ada.date_joined)
    ended(branch, created_by=ada)
    hidden = rows.make_branch(ada, "secret", visibility=Visibility.PRIVATE)
    ended(hidden, created_by=ada, title="Train secret")
    assert (words(bob), words(bob, everyones=True)) == ([], ["done"])
    assert len(words(ada)) == 2
    assert selectors.counts(bob).unread == 0
    for address in ("/news/?of=all", "/news/bell/?of=all", "/news/count/"):
        assert "secret" not in folded(signed_in(bob).get(address))
    assert "Train secret" in folded(signed_in(ada).get("/news/"))


def test_it_is_unread_until_one_says_so_and_what_comes_later_is_again(ada: User, branch: Branch) -> None:
    ended(branch)
    client = signed_in(ada)
    page = client.get("/news/").content.decode()
    assert 'class="unread"' in page
    now = selectors.newest()
    ended(branch)  # while the page was read
    sent = {"event": now.event, "at": now.at.isoformat()}
    assert client.post("/news/seen/", sent).status_code == 302
    assert [each.unread for each in selectors.news(ada)] == [True, False]
    assert selectors.counts(ada).unread == 1
    services.see(ada, event=0, at=now.at - timedelta(days=1))  # an older page, sent later
    assert Seen.objects.get(user=ada).event == now.event
    assert [each.unread for each in selectors.news(ada)] == [True, False]


def test_nobody_can_have_read_what_has_not_happened(ada: User, branch: Branch) -> None:
    job = ended(branch)
    client = signed_in(ada)
    later = (timezone.now() + timedelta(days=9)).isoformat()
    assert client.post("/news/seen/", {"event": 10**9, "at": later}).status_code == 302
    seen = Seen.objects.get(user=ada)
    assert seen.event == job.events.latest("pk").pk
    assert seen.at <= timezone.now()
    for at in ("", "yesterday", "2026-01-01T00:00:00", "2026-99-01T00:00:00Z"):
        assert client.post("/news/seen/", {"event": 1, "at": at}).status_code in {400, 422}


def test_a_viewer_reads_too_and_reading_is_no_deed(ada: User, branch: Branch) -> None:
    viewer = User.objects.create_user("viewer")
    viewer.groups.add(Group.objects.get(name="viewer"))
    sent = {"event": 0, "at": timezone.now().isoformat()}
    assert signed_in(viewer).post("/news/seen/", sent).status_code == 302
    assert AuditEntry.objects.count() == 0
    assert Topic.objects.get(name=f"news:{viewer.pk}").version == 1
    kind, key = topics.find(f"news:{viewer.pk}")
    assert (kind.allows(viewer, key), kind.allows(ada, key)) == (True, False)


def test_what_waits_says_why_and_what_is_at_work_is_counted(ada: User, branch: Branch) -> None:
    rows.make_job(branch, title="Train later")
    rows.make_job(branch, state=JobState.RUNNING, worker=rows.make_worker("w"))
    rows.make_job(branch, state=JobState.RUNNING, preview=True)
    (waits,) = selectors.waiting(ada)
    assert waits.why
    counts = selectors.counts(ada)
    assert (counts.running, counts.waiting) == (2, 1)
    assert "Train later" in folded(signed_in(ada).get("/news/bell/"))


def test_jobs_are_counted_where_they_are_kept(ada: User, branch: Branch) -> None:
    """Each once, also for whom they are shared with in more than one way; no row of theirs is fetched."""
    worker = rows.make_worker("w")
    bob = User.objects.create_user("bob")
    branch.experiment.visibility = Visibility.PRIVATE
    branch.experiment.save()
    branch.experiment.shares.create(user=bob, level="view")
    branch.experiment.shares.create(user=User.objects.create_user("eve"), level="view")
    for _ in range(30):
        rows.make_job(branch)
    for user in (ada, bob):
        with CaptureQueriesContext(connection) as queries:
            assert selectors.counts(user).waiting == 30
        there, counted = (each["sql"] for each in queries if '"state" IN' in each["sql"])
        assert there.startswith("SELECT 1 ")
        assert "GROUP BY" in counted
    with CaptureQueriesContext(connection) as queries:
        (row,) = worker_rows([worker])
    assert row.waiting == {queue: 30 if queue == "train" else 0 for queue in worker.queues}
    assert "GROUP BY" in queries[-1]["sql"]


def test_many_that_wait_are_told_in_as_few_queries_as_one(ada: User, branch: Branch) -> None:
    worker = rows.make_worker("w")
    rows.make_job(branch, state=JobState.RUNNING, worker=worker)

    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            selectors.waiting(ada)
        return len(queries)

    alone = rows.make_job(rows.make_branch(ada, "alone"))
    selectors.waiting(ada)  # what their roles allow is read once
    few = asked()
    behind = rows.make_job(branch)
    for number in range(6):
        rows.make_job(rows.make_branch(ada, f"other {number}"))
    assert asked() == few
    told = {each.job: each.why for each in selectors.waiting(ada)}
    assert told == {job: waits_for(job) for job in told}
    assert told[alone].startswith("waits: place 1 in the queue train")
    assert told[behind].startswith("waits for job ")


def test_the_bell_of_a_page_takes_few_queries_whatever_there_is(ada: User, branch: Branch) -> None:
    for _ in range(120):
        ended(branch)
    request = RequestFactory().get("/")
    request.user = ada
    template = Template("{% load news %}{% bell %}{% rail_counts %}")
    with CaptureQueriesContext(connection) as asked:
        text = template.render(Context({"request": request}))
    assert "99+" in text
    # Two of them only where so many are unread: which failed is asked for by itself then.
    assert len(asked) <= 8, [each["sql"][:100] for each in asked]


def test_the_number_comes_with_the_counts_of_the_rail(ada: User, branch: Branch) -> None:
    ended(branch, JobState.FAILED, "boom")
    answer = signed_in(ada).get("/news/count/", headers={"HX-Request": "true"}).content.decode()
    assert 'data-unread="1"' in answer
    assert 'id="rail-counts"' in answer
    assert "hx-swap-oob" in answer


def test_what_is_long_gone_is_no_news(ada: User, branch: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        ended(branch)
    monkeypatch.setattr(selectors, "AT_A_TIME", 1)
    assert len(words(ada)) == 5
    assert selectors.counts(ada).unread == 5
    bob = User.objects.create_user("bob")
    assert "Nothing has happened yet." in folded(signed_in(bob).get("/news/"))
    monkeypatch.setattr(selectors, "LOOKED_BACK", 2)
    assert len(words(ada)) == 2
    assert selectors.counts(ada).unread == 2
    assert "Nothing among the newest 2 events of all jobs." in folded(signed_in(bob).get("/news/"))


def test_neither_beginnings_nor_what_others_did_hide_a_failure(ada: User, branch: Branch) -> None:
    ended(branch, JobState.FAILED, "ValueError: boom")
    others = ended(rows.make_branch(User.objects.create_user("bob"), "of-bob"))
    events = [
        JobEvent(job=others, kind="state", payload={"state": state})
        for state in (JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED)
        for _ in range(800)
    ]
    JobEvent.objects.bulk_create(events)
    assert words(ada) == ["failed"]
    assert selectors.counts(ada).failed == 1


def test_the_failed_are_counted_among_all_that_are_unread(ada: User, branch: Branch) -> None:
    job = ended(branch, JobState.FAILED, "boom")
    told(job, JobState.LOST)
    events = [JobEvent(job=job, kind="state", payload={"state": "SUCCEEDED"}) for _ in range(150)]
    JobEvent.objects.bulk_create(events)
    assert selectors.counts(ada).failed == 2
    client = signed_in(ada)
    assert client.get("/news/count/").text.count("99+") == 1
    events = [JobEvent(job=job, kind="state", payload={"state": "FAILED"}) for _ in range(150)]
    JobEvent.objects.bulk_create(events)
    assert client.get("/news/count/").text.count("99+") == 2


def test_what_nobody_asked_for_is_not_everybodys_own(ada: User) -> None:
    ended(None, kind="generate", created_by=None)
    ended(None, kind="generate", created_by=ada, title="Make mine")
    bob = User.objects.create_user("bob", date_joined=ada.date_joined)
    assert (words(bob), len(words(bob, everyones=True))) == ([], 2)
    assert [each.title.partition(": ")[2] for each in selectors.news(ada)] == ["Make mine"]

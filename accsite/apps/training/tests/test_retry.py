"""Operators ask again what went wrong, and take jobs from their workers; each refusal says why."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from accsite.apps.jobs.models import Job, JobKind, Worker
from accsite.apps.jobs.services import control, lifecycle
from accsite.apps.jobs.services.retry import requeue, retry
from accsite.apps.jobs.states import JobState
from accsite.apps.live import selectors as live
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.services import jobs
from accsite.apps.training.tests import rows
from accsite.errors import WrongState

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def test_a_job_that_failed_is_asked_again_with_all_it_was_asked(
    user: Any, branch: Branch, task: Task
) -> None:
    job = jobs.submit_training(actor=user, branch=branch, train={"steps": 7, "lr": 0.5})
    with pytest.raises(WrongState, match="only one that failed or was stopped is tried again"):
        retry(actor=user, job=job)
    Job.objects.filter(pk=job.pk).update(state=JobState.FAILED)
    job.refresh_from_db()
    made = retry(actor=user, job=job)
    assert (made.state, made.total_steps, made.spec["train"]) == (JobState.QUEUED, 7, job.spec["train"])
    assert made.pk != job.pk


def test_a_job_that_was_resumed_meanwhile_is_not_tried_again(user: Any, branch: Branch, task: Task) -> None:
    job = jobs.submit_training(actor=user, branch=branch, train={"steps": 7})
    Job.objects.filter(pk=job.pk).update(state=JobState.FAILED)
    seen_as_failed = Job.objects.get(pk=job.pk)
    Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED)
    with pytest.raises(WrongState, match="is queued; only one that failed or was stopped is tried again"):
        retry(actor=user, job=seen_as_failed)
    assert Job.objects.count() == 1


def test_an_evaluation_is_asked_again(user: Any, branch: Branch) -> None:
    checkpoint = rows.make_checkpoint(branch)
    job = jobs.submit_evaluation(actor=user, checkpoint=checkpoint, eval={"suite": ["metrics"], "seed": 3})
    control.cancel(actor=user, job=job)
    made = retry(actor=user, job=job)
    assert (made.kind, made.checkpoint, made.spec) == (JobKind.EVALUATE, checkpoint, job.spec)


def test_asking_again_with_the_same_key_makes_one_job(user: Any, branch: Branch, task: Task) -> None:
    user.groups.add(Group.objects.get(name="operator"))
    job = jobs.submit_training(actor=user, branch=branch, train={"steps": 7})
    control.cancel(actor=user, job=job)
    client = Client()
    client.force_login(user)
    where = f"/api/v1/jobs/{job.pk}/retry/"
    first, second, other = (
        client.post(where, content_type="application/json", headers={"Idempotency-Key": key})
        for key in ("a", "a", "b")
    )
    assert (first.status_code, second.json()["id"]) == (201, first.json()["id"])
    assert other.json()["id"] != first.json()["id"]


def test_an_import_is_not_asked_again(user: Any) -> None:
    job = rows.make_job(kind=JobKind.IMPORT, state=JobState.FAILED)
    with pytest.raises(WrongState, match="its file is sent again instead"):
        retry(actor=user, job=job)


def test_a_job_is_taken_from_its_worker_and_waits_again(user: Any, branch: Branch, worker: Worker) -> None:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=2, worker=worker)
    taken = requeue(actor=user, job=job)
    assert (taken.state, taken.worker) == (JobState.QUEUED, None)
    assert taken.message == f"put back into its queue by {user.get_username()}"
    assert taken.outbox.exists()
    with pytest.raises(WrongState, match="held by no worker"):
        requeue(actor=user, job=taken)
    claim = lifecycle.claim(taken.pk, worker)
    assert claim is not None
    assert claim.attempt == 3  # what the worker of attempt 2 still writes is refused


def test_the_admin_retries_and_requeues_and_tells_what_was_refused(branch: Branch, task: Task) -> None:
    root = get_user_model().objects.create_superuser("root")
    admin = Client()
    admin.force_login(root)
    failed = jobs.submit_training(actor=root, branch=branch, train={"steps": 7})
    Job.objects.filter(pk=failed.pk).update(state=JobState.FAILED)
    running = rows.make_job(rows.make_branch(root, "other"), state=JobState.RUNNING, attempt=1)
    chosen = {"_selected_action": [failed.pk, running.pk]}
    told = admin.post("/admin/jobs/job/", {"action": "retry", **chosen}, follow=True).content.decode()
    assert "1 queued again" in told
    assert "is running; only one that failed or was stopped is tried again" in told
    told = admin.post("/admin/jobs/job/", {"action": "requeue", **chosen}, follow=True).content.decode()
    assert "1 put back" in told
    assert "is held by no worker" in told


def test_the_place_of_actions_is_fetched_anew_when_the_job_has_changed(user: Any, branch: Branch) -> None:
    user.groups.add(Group.objects.get(name="operator"))
    client = Client()
    client.force_login(user)
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1, worker=rows.make_worker("cpu-7"))
    where, topic = f"/jobs/{job.pk}/panel/actions/", f"job:{job.pk}"
    retry, requeue = (f'id="act-{verb}-{job.pk}"' for verb in ("retry", "requeue"))
    for page in (client.get(f"/jobs/{job.pk}/"), client.get(where)):
        assert f'hx-get="{where}"' in page.text
        assert requeue in page.text
        assert retry not in page.text, "a job that runs cannot be tried again"
    lifecycle.fail(job.pk, 1, "it broke")
    assert retry in client.get(where).text
    assert requeue not in client.get(where).text
    Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING)
    done = client.post(f"/jobs/{job.pk}/requeue/", headers={"HX-Request": "true"})
    assert f"Job {job.pk} waits in its queue again." in done.text
    # It shows the newest version, so that it is not fetched anew, without what was said.
    assert f'data-topics="{topic}={live.versions([topic])[topic]}"' in done.text
    assert live.versions([topic])[topic] >= 2


def test_staff_may_not_change_what_is_not_theirs(branch: Branch, task: Task) -> None:
    admin = Client()
    admin.force_login(get_user_model().objects.create_user("olga", is_staff=True))
    chosen = {"action": "switch_off", "_selected_action": [task.pk]}
    type(branch.experiment).objects.update(visibility="site")
    get_user_model().objects.get(username="olga").groups.add(Group.objects.get(name="viewer"))
    told = admin.post("/admin/training/task/", chosen, follow=True).content.decode()
    assert "it is not yours to change" in told
    task.refresh_from_db()
    assert task.enabled


@pytest.mark.django_db(transaction=True)
def test_two_that_are_asked_again_with_one_key_at_one_moment_make_one_job(user: Any) -> None:
    rows.make_plugins()
    checkpoints = [rows.make_checkpoint(rows.make_branch(None, name)) for name in ("one", "two")]
    failed = [
        jobs.submit_evaluation(actor=user, checkpoint=each, eval={"suite": ["metrics"]})
        for each in checkpoints
    ]
    for job in failed:
        control.cancel(actor=user, job=job)
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(retry(actor=user, job=failed[1], idempotency_key="same"))
        except BaseException as error:
            answers.append(error)
        finally:
            connection.close()

    second = threading.Thread(target=ask)
    with transaction.atomic():
        first = retry(actor=user, job=failed[0], idempotency_key="same")
        second.start()
        second.join(1.0)
        assert second.is_alive(), "it waits for the first to be committed"
    second.join(20)
    assert answers == [first]
    assert Job.objects.count() == 3, "what the second began is undone"


def test_a_form_that_is_sent_twice_makes_one_job_and_one_that_is_shown_anew_another(
    user: Any, branch: Branch, task: Task
) -> None:
    user.groups.add(Group.objects.get(name="operator"))
    job = jobs.submit_training(actor=user, branch=branch, train={"steps": 7})
    control.cancel(actor=user, job=job)
    page = Client()
    page.force_login(user)
    where, act = reverse("training:job", args=[job.pk]), reverse("training:job-retry", args=[job.pk])

    def key() -> str:
        form = page.get(where).text.partition(f'id="retry-form-{job.pk}"')[2].partition("</form>")[0]
        return form.partition('name="idempotency_key" value="')[2].partition('"')[0]

    shown = key()
    assert shown
    for _ in range(2):  # as a double click does without a script
        assert page.post(act, {"idempotency_key": shown}).status_code == 302
    assert Job.objects.count() == 2
    assert page.post(act, {"idempotency_key": key()}).status_code == 302
    assert Job.objects.count() == 3

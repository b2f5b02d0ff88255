"""The REST API makes, steers and shows; it refuses in the same words as the services, and hides what is private."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import Job, OutboxMessage, Worker
from accsite.apps.jobs.states import JobState
from accsite.apps.live.models import Topic
from accsite.apps.training.models import Branch, Experiment, Task
from accsite.apps.training.tests import rows


@pytest.fixture
def api(user: Any) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


def nothing_was_made() -> bool:
    return not (Job.objects.exists() or OutboxMessage.objects.exists() or Topic.objects.exists())


def test_from_nothing_to_a_queued_job(api: APIClient, plugins: Any, dataset: Dataset) -> None:
    made = api.post("/api/v1/experiments/", {"name": "Digits", "model": rows.MODEL}, format="json")
    assert made.status_code == 201, made.json()
    branch = made.json()["branches"][0]
    assert (made.json()["slug"], branch["slug"]) == ("digits", "main")
    task = api.post(
        "/api/v1/tasks/",
        {
            "branch": branch["id"],
            "task_class": "ClassificationTask",
            "dataset": dataset.slug,
            "factor": "digit",
        },
        format="json",
    )
    assert task.status_code == 201, task.json()
    assert (task.json()["key"], task.json()["factor"], task.json()["latent_slice"]) == (
        "classification",
        "digit",
        None,
    )
    job = api.post(
        "/api/v1/jobs/", {"kind": "train", "branch": branch["id"], "train": {"steps": 50}}, format="json"
    )
    assert job.status_code == 201, job.json()
    assert (job.json()["state"], job.json()["total_steps"], job.json()["place"]) == ("QUEUED", 50, 1)
    assert job["Location"] == f"http://testserver/api/v1/jobs/{job.json()['id']}/"
    shown = api.get(job["Location"]).json()
    listed = api.get("/api/v1/jobs/?state=active").json()
    assert listed["results"] == [job.json()]
    assert shown == {**job.json(), "places": [], "waits_for": shown["waits_for"]}
    assert "no worker of the queue train is online" in shown["waits_for"]


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ({"kind": "train", "branch": 1, "train": {"steps": 0}}, "train.steps", "0 is refused"),
        ({"kind": "train", "branch": 1}, "train.steps", "a value is needed here"),
        ({"kind": "train", "branch": 1, "train": 5}, "train", "5 is not an object"),
        (
            {"kind": "train", "branch": 99, "train": {"steps": 1}},
            "branch",
            "99 is not a branch that you may use; known: 1",
        ),
        ({"kind": "train", "branch": "main", "train": {"steps": 1}}, "branch", "'main' is not a branch"),
        ({"kind": "train", "branch": True, "train": {"steps": 1}}, "branch", "True is not a branch"),
        (
            {"kind": "train", "branch": 1, "train": {"steps": 1, "device": "cuda:9"}},
            "train.device",
            "choose one of: auto, cpu",
        ),
        (
            {"kind": "train", "branch": 1, "steps": 1},
            "steps",
            "'steps' is not a field here; known: branch, train",
        ),
        (
            {"kind": "dance"},
            "kind",
            "'dance' is not a kind of job here; choose one of: evaluate, generate, import_runs, train",
        ),
        (
            {"kind": "evaluate", "checkpoint": 7},
            "checkpoint",
            "7 is not a checkpoint that you may use; known: none",
        ),
        ({"kind": "generate", "generator": "Nope", "name": "x"}, "generator", "Nope"),
        ({"kind": "generate", "name": "x"}, "generator", "''"),
        ([1, 2], "__all__", "send a JSON object, not list"),
    ],
)
def test_a_bad_job_is_a_problem_that_names_its_field(*, api, branch, task, body, field, sentence) -> None:
    if isinstance(body, dict) and type(body.get("branch")) is int and body["branch"] == 1:
        body = {**body, "branch": branch.pk}
    answer = api.post("/api/v1/jobs/", body, format="json")
    assert answer.status_code == 422
    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["title"] == "The input was refused"
    assert list(problem["errors"]) == [field]
    assert sentence.replace("known: 1", f"known: {branch.pk}") in problem["errors"][field][0]
    assert nothing_was_made()


def test_a_branch_without_tasks_says_so(api: APIClient, branch: Branch) -> None:
    answer = api.post(
        "/api/v1/jobs/", {"kind": "train", "branch": branch.pk, "train": {"steps": 1}}, format="json"
    )
    assert answer.json()["errors"] == {
        "tasks": ["branch digits/main has no task that is switched on; attach one first"]
    }
    assert nothing_was_made()


def test_a_request_sent_twice_with_one_key_makes_one_job(api: APIClient, branch: Branch, task: Task) -> None:
    body = {"kind": "train", "branch": branch.pk, "train": {"steps": 1}}
    made = [
        api.post("/api/v1/jobs/", body, format="json", headers={"Idempotency-Key": "abc"}).json()["id"]
        for _ in "12"
    ]
    assert made[0] == made[1]
    assert Job.objects.count() == 1


def test_a_job_is_steered_and_its_events_tell(api: APIClient, branch: Branch, task: Task) -> None:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1)
    asked = api.post(
        f"/api/v1/jobs/{job.pk}/control/", {"kind": "set_lr", "payload": {"lr": 0.01}}, format="json"
    )
    assert (asked.status_code, asked.json()["status"], asked.json()["actor"]) == (202, "PENDING", "ada")
    assert api.get(f"/api/v1/jobs/{job.pk}/").json()["asked"] == ["set_lr"]
    changed = api.patch(f"/api/v1/tasks/{task.pk}/", {"weight": 0.5, "enabled": True}, format="json")
    assert (changed.status_code, changed.json()["weight"]) == (200, 0.5)
    events = api.get(f"/api/v1/jobs/{job.pk}/events/").json()
    assert [event["kind"] for event in events] == ["set_lr", "set_weight", "set_enabled"]
    newer = api.get(f"/api/v1/jobs/{job.pk}/events/?after={events[0]['id']}").json()
    assert newer == events[1:]


def test_what_is_not_possible_now_is_a_conflict_with_its_reason(
    api: APIClient, branch: Branch, task: Task
) -> None:
    ended = rows.make_job(branch, state=JobState.SUCCEEDED)
    answer = api.post(f"/api/v1/jobs/{ended.pk}/control/", {"kind": "stop"}, format="json")
    assert answer.status_code == 409
    assert answer.json()["errors"] == {"kind": [f"'stop' came too late: job {ended.pk} is done"]}
    rows.make_job(branch, state=JobState.RUNNING, attempt=1)
    answer = api.delete(f"/api/v1/tasks/{task.pk}/")
    assert (answer.status_code, list(answer.json()["errors"])) == (409, ["enabled"])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"weight": -1}, "weight"),
        ({"weight": "x"}, "weight"),
        ({"enabled": "maybe"}, "enabled"),
        ({"name": "y"}, "name"),
        ({}, "__all__"),
    ],
)
def test_a_bad_change_of_a_task_changes_nothing(api: APIClient, task: Task, change: Any, field: str) -> None:
    answer = api.patch(
        f"/api/v1/tasks/{task.pk}/",
        {"enabled": False, **change} if "weight" in change else change,
        format="json",
    )
    assert (answer.status_code, list(answer.json()["errors"])) == (422, [field])
    assert Task.objects.values("weight", "enabled", "name").get() == {
        "weight": 1.0,
        "enabled": True,
        "name": "Reconstruction",
    }


def test_a_task_that_does_not_fit_is_refused_beside_its_field(
    api: APIClient, branch: Branch, dataset: Dataset
) -> None:
    body = {"branch": branch.pk, "task_class": "RegressionTask", "dataset": "gone", "latent_slice": [10, 40]}
    answer = api.post("/api/v1/tasks/", body, format="json")
    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {"dataset", "latent_slice"}
    assert not Task.objects.exists()


def test_a_removed_task_can_be_put_back(api: APIClient, branch: Branch, task: Task) -> None:
    assert api.delete(f"/api/v1/tasks/{task.pk}/").status_code == 204
    assert api.get(f"/api/v1/tasks/?branch={branch.pk}").json()["count"] == 0
    assert api.get(f"/api/v1/tasks/?branch={branch.pk}&removed=1").json()["count"] == 1
    assert api.post(f"/api/v1/tasks/{task.pk}/restore/").json()["removed_at"] is None


def test_a_fork_is_made_from_a_checkpoint(api: APIClient, branch: Branch) -> None:
    checkpoint = rows.make_checkpoint(branch)
    body = {"experiment": "digits", "name": "Side", "from_checkpoint": checkpoint.pk, "tasks": "none"}
    answer = api.post("/api/v1/branches/", body, format="json")
    assert (answer.status_code, answer.json()["head"], answer.json()["slug"]) == (201, checkpoint.pk, "side")
    assert "spec" not in api.get("/api/v1/checkpoints/?experiment=digits").json()["results"][0]
    assert api.get(f"/api/v1/checkpoints/{checkpoint.pk}/").json()["spec"]["train"]["steps"] == 1
    measured = api.post("/api/v1/jobs/", {"kind": "evaluate", "checkpoint": checkpoint.pk}, format="json")
    assert (measured.status_code, measured.json()["checkpoint"]) == (201, checkpoint.pk)


def test_what_is_private_is_not_there_for_others(api: APIClient, branch: Branch, task: Task) -> None:
    Experiment.objects.update(owner=get_user_model().objects.create_user("eve"), visibility="private")
    job, checkpoint = rows.make_job(branch), rows.make_checkpoint(branch)
    for path in (
        "experiments/digits/",
        f"branches/{branch.pk}/",
        f"tasks/{task.pk}/",
        f"jobs/{job.pk}/",
        f"jobs/{job.pk}/loss_history/",
        f"jobs/{job.pk}/events/",
        f"checkpoints/{checkpoint.pk}/",
    ):
        assert api.get(f"/api/v1/{path}").status_code == 404, path
    for path in ("experiments/", "branches/", "tasks/", "jobs/", "checkpoints/"):
        assert api.get(f"/api/v1/{path}").json()["count"] == 0, path
    assert api.post(f"/api/v1/jobs/{job.pk}/control/", {"kind": "stop"}, format="json").status_code == 404
    refused = api.post(
        "/api/v1/jobs/", {"kind": "train", "branch": branch.pk, "train": {"steps": 1}}, format="json"
    )
    assert (refused.status_code, list(refused.json()["errors"])) == (422, ["branch"])


@pytest.mark.django_db
def test_nobody_comes_in_without_signing_in() -> None:
    answer = APIClient().get("/api/v1/jobs/")
    assert answer.status_code in {401, 403}
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path", ["jobs/?branch=x", "jobs/?state=dancing", "tasks/?branch=1%27", "jobs/?branch=-1"]
)
def test_a_bad_filter_is_refused_in_words(api: APIClient, path: str) -> None:
    assert api.get(f"/api/v1/{path}").status_code == 422


def test_listing_fifty_jobs_takes_a_few_queries(
    api: APIClient, branch: Branch, django_assert_max_num_queries: Any
) -> None:
    for _ in range(20):
        rows.make_job(branch)
    with django_assert_max_num_queries(7):
        assert len(api.get("/api/v1/jobs/").json()["results"]) == 20


def test_only_an_administrator_drains_a_worker(api: APIClient, user: Any, worker: Worker) -> None:
    assert api.get("/api/v1/workers/").json()["results"][0]["state"] == "ONLINE"
    assert api.post(f"/api/v1/workers/{worker.pk}/drain/").status_code == 403
    user.is_staff = True
    user.save()
    assert api.post(f"/api/v1/workers/{worker.pk}/drain/").json()["state"] == "DRAINING"

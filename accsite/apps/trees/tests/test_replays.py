"""A replay is asked for at a checkpoint, and what it finds is read there and at its job."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from acc.errors import InvalidInput
from accsite.apps.jobs.models import Job, JobKind, Worker
from accsite.apps.jobs.services import lifecycle
from accsite.apps.jobs.services.retry import retry
from accsite.apps.jobs.states import JobState
from accsite.apps.live.selectors import versions
from accsite.apps.training import selectors
from accsite.apps.training.models import Branch, Checkpoint, CheckpointKind
from accsite.apps.training.tests import rows
from accsite.apps.trees.services import replays
from accsite.errors import WrongState

DIFFERS = {
    "verdict": "differs",
    "message": "",
    "checkpoint": 1,
    "step": 3,
    "tensor": "model.encoder.0.weight",
    "changes": {
        "plugins": {"ReconstructionTask": ["a" * 64, "b" * 64]},
        "data": {"digits": "is not on this site any more"},
        "libraries": {"torch": ["2.1.0", "2.13.0"]},
        "device": ["cuda:0", "cpu"],
    },
    "replayed": [1],
}


@pytest.fixture
def node(branch: Branch) -> Checkpoint:
    """A checkpoint with a parent, both made by jobs on the CPU."""
    root = rows.make_checkpoint(branch, rows.make_job(branch, state="SUCCEEDED", device="cpu"))
    made_by = rows.make_job(branch, state="SUCCEEDED", device="cpu")
    return rows.make_checkpoint(branch, made_by, parent=root, step=20)


def ended(job: Job, worker: Worker, **result: Any) -> Job:
    """Let a worker end a replay with this result."""
    claim = lifecycle.claim(job.pk, worker)
    assert claim is not None
    assert lifecycle.start(job.pk, claim.attempt)
    assert lifecycle.finish(job.pk, claim.attempt, result, result["message"])
    return Job.objects.get(pk=job.pk)


def test_a_replay_waits_once_however_often_it_is_asked_for(node: Checkpoint, user: Any) -> None:
    job = replays.submit_replay(actor=user, checkpoint=node)
    assert (job.kind, job.queue, job.spec["device"]) == (JobKind.REPLAY, "default", "cpu")
    assert replays.submit_replay(actor=user, checkpoint=node) == job
    other = replays.submit_replay(actor=user, checkpoint=node, current_plugins=True)
    assert other != job
    lifecycle.cancel_queued(job)
    assert replays.submit_replay(actor=user, checkpoint=node) not in (job, other)
    assert retry(actor=user, job=job).kind == JobKind.REPLAY


def test_what_a_gpu_has_made_is_replayed_on_one(node: Checkpoint, worker: Worker) -> None:
    assert node.parent is not None
    Job.objects.filter(checkpoints=node.parent).update(device="cuda:1")
    job = replays.submit_replay(actor=None, checkpoint=node)
    assert (job.queue, job.spec["device"]) == ("train", "auto")
    rows.make_worker("gpu", "cuda:0", ("train",))
    job = replays.submit_replay(actor=None, checkpoint=node)
    assert (job.queue, job.spec["device"]) == ("train", "cuda")
    assert lifecycle.claim(job.pk, worker) is None


def test_what_cannot_be_replayed_is_refused_before_a_job_is_made(node: Checkpoint) -> None:
    with pytest.raises(InvalidInput, match="'1' is neither true nor false"):
        replays.submit_replay(actor=None, checkpoint=node, current_plugins="1")
    assert node.parent is not None
    Checkpoint.objects.filter(pk=node.parent.pk).update(job=None)
    with pytest.raises(WrongState, match=f"that made checkpoint {node.parent_id} is not on record any more"):
        replays.submit_replay(actor=None, checkpoint=node)
    Checkpoint.objects.filter(pk=node.parent.pk).update(kind=CheckpointKind.IMPORTED)
    Checkpoint.everything.filter(pk=node.pk).update(deleted_at="2026-01-01T00:00Z")
    with pytest.raises(WrongState, match="was deleted; restore it first"):
        replays.submit_replay(actor=None, checkpoint=node)
    assert not Job.objects.filter(kind=JobKind.REPLAY).exists()


def test_what_a_replay_found_stands_at_the_checkpoint_and_at_its_job(
    node: Checkpoint, user: Any, worker: Worker, client: Client
) -> None:
    client.force_login(user)
    where = reverse("trees:checkpoint", args=[node.pk])
    assert "not replayed yet" in client.get(where).text
    act = reverse("trees:checkpoint-act", args=[node.pk, "replay"])
    said = client.post(act, {}, headers={"HX-Request": "true"}).text
    job = Job.objects.get(kind=JobKind.REPLAY)
    assert f"Job {job.pk} runs again all that led to it" in said
    assert "what it finds appears here by itself" in client.get(where).text
    topic = f"checkpoints:{node.experiment_id}"
    before = versions([topic])
    words = f"Checkpoint {node.pk} differs, first in tensor 'model.encoder.0.weight'"
    ended(job, worker, **{**DIFFERS, "message": words})
    assert versions([topic]) != before
    job_page = client.get(reverse("training:job", args=[job.pk])).text
    panel = client.get(reverse("training:job-panel", args=[job.pk, "replayed"])).text
    for text in (client.get(where).text, job_page, panel):
        assert "it differs" in text
        assert "first in tensor &#x27;model.encoder.0.weight&#x27;" in text
        for line in ("library torch", "2.13.0", "source of ReconstructionTask", "dataset digits", "cuda:0"):
            assert line in text
    again_job = replays.submit_replay(actor=user, checkpoint=node)
    ended(again_job, worker, verdict="same", message="the same", changes={}, checkpoint=node.pk)
    text = client.get(where).text
    assert "the same to the bit" in text
    assert "are as they were when it was made" in text


def test_the_api_queues_a_replay_and_tells_what_it_found(
    node: Checkpoint, user: Any, worker: Worker, client: Client
) -> None:
    client.force_login(user)
    url = f"/api/v1/checkpoints/{node.pk}/"

    def ask(**data: Any) -> Any:
        return client.post(f"{url}replay/", data, content_type="application/json")

    assert ask(current_plugins="yes").json()["errors"]["current_plugins"]
    assert "not a field here; known: current_plugins" in ask(device="cpu").json()["detail"]
    assert client.get(url).json()["replay"] is None
    made = ask(current_plugins=True)
    assert (made.status_code, made.json()["kind"]) == (201, "replay")
    told = client.get(url).json()["replay"]
    assert (told["job"], told["verdict"], told["current_plugins"]) == (made.json()["id"], None, True)
    job = Job.objects.get(pk=told["job"])
    claim = lifecycle.claim(job.pk, worker)
    assert claim is not None
    lifecycle.fail(job.pk, claim.attempt, "checkpoint 1 cannot be replayed: its data are gone")
    told = client.get(url).json()["replay"]
    assert (told["state"], told["verdict"]) == (JobState.FAILED, "cannot")
    assert selectors.last_replay(node) is not None
    assert "its data are gone" in client.get(reverse("trees:checkpoint", args=[node.pk])).text

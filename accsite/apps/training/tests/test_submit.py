"""What is submitted is whole and frozen; what is wrong is refused with a sentence and leaves nothing behind."""

from __future__ import annotations

from typing import Any

import pytest

from acc.errors import InvalidInput
from acc.specs import TrainJobSpec
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.services import generation
from accsite.apps.jobs.models import Job, JobEvent, OutboxMessage
from accsite.apps.jobs.services import control, lifecycle
from accsite.apps.jobs.states import JobState
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Branch, Checkpoint, Task
from accsite.apps.training.services import jobs
from accsite.apps.training.tests import rows
from accsite.errors import WrongState


def nothing_was_made() -> bool:
    return not (Job.objects.exists() or OutboxMessage.objects.exists() or JobEvent.objects.exists())


def test_a_train_job_is_frozen_with_its_doorbell(user: Any, branch: Branch, task: Task) -> None:
    job = jobs.submit_training(actor=user, branch=branch, train={"steps": "200", "seed": 3})
    spec = TrainJobSpec.model_validate(job.spec)
    assert (job.state, job.queue, job.total_steps, job.created_by) == (JobState.QUEUED, "train", 200, user)
    assert (spec.train.steps, spec.train.seed, spec.tasks[0].key) == (200, 3, "reconstruction")
    assert spec.datasets["handwritten-digits"].content_hash == task.dataset.content_hash
    sources = dict(Plugin.objects.values_list("name", "source_id"))
    assert spec.plugins == {n: sources[n] for n in ("ReconstructionTask", "FactorSlotAutoencoder")}
    assert spec.tasks[0].source_sha256 == sources["ReconstructionTask"]
    assert OutboxMessage.objects.get().job == job


def test_a_later_change_of_plugin_or_branch_leaves_the_job_as_it_was(
    user: Any, branch: Branch, task: Task
) -> None:
    job = jobs.submit_training(actor=user, branch=branch, train={"steps": 1})
    before = job.spec
    rows.make_plugin(
        PluginKind.TASK, "ReconstructionTask", source=rows.make_plugin(PluginKind.TASK, "Other").source
    )
    Task.objects.update(weight=9)
    job.refresh_from_db()
    assert job.spec == before


@pytest.mark.parametrize(
    ("train", "field", "sentence"),
    [
        ({"steps": 0}, "steps", "0 is refused: the least allowed is 1"),
        ({}, "steps", "a value is needed here; none was given"),
        ({"steps": "many"}, "steps", "'many' is refused"),
        ({"steps": 5, "lr": -1}, "lr", "-1 is refused"),
        ({"steps": 5, "stepz": 5}, "stepz", "'stepz' is not a field here"),
        (
            {"steps": 5, "device": "cuda:7"},
            "device",
            "'cuda:7' is offered by no worker that is online; choose one of: auto, cpu",
        ),
        ({"steps": 5, "device": "toaster"}, "device", "'toaster' is offered by no worker"),
    ],
)
def test_bad_training_input_names_its_field(*, user, branch, task, train, field, sentence) -> None:
    with pytest.raises(InvalidInput) as caught:
        jobs.submit_training(actor=user, branch=branch, train=train)
    assert sentence in caught.value.fields[field][0]
    assert nothing_was_made()


def test_all_that_is_wrong_is_said_at_once(user: Any, branch: Branch) -> None:
    with pytest.raises(InvalidInput) as caught:
        jobs.submit_training(actor=user, branch=branch, train={"steps": 0, "batch_size": 0})
    assert set(caught.value.fields) == {"steps", "batch_size", "tasks"}


def test_a_branch_needs_a_task_that_is_on(user: Any, branch: Branch, task: Task) -> None:
    Task.objects.update(enabled=False)
    with pytest.raises(InvalidInput, match="digits/main has no task that is switched on; switch one on"):
        jobs.submit_training(actor=user, branch=branch, train={"steps": 1})
    Task.objects.all().delete()
    with pytest.raises(InvalidInput, match="attach one first"):
        jobs.submit_training(actor=user, branch=branch, train={"steps": 1})
    assert nothing_was_made()


def test_a_gpu_that_an_online_worker_has_may_be_asked_for(user: Any, branch: Branch, task: Task) -> None:
    rows.make_worker("gpu", "cuda:1")
    for device in ("cuda:1", "cuda"):
        assert jobs.submit_training(actor=user, branch=branch, train={"steps": 1, "device": device})
    with pytest.raises(InvalidInput, match="choose one of: auto, cpu, cuda:1"):
        jobs.submit_training(actor=user, branch=branch, train={"steps": 1, "device": "cuda:0"})


def test_a_request_sent_twice_makes_one_job(user: Any, branch: Branch, task: Task) -> None:
    made = [
        jobs.submit_training(actor=user, branch=branch, train={"steps": 1}, idempotency_key="k")
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert Job.objects.count() == OutboxMessage.objects.count() == 1
    jobs.submit_training(actor=user, branch=branch, train={"steps": 1})
    jobs.submit_training(actor=user, branch=branch, train={"steps": 1})
    assert Job.objects.count() == 3


def test_a_generate_job_holds_clean_parameters(user: Any, plugins: dict[str, Plugin]) -> None:
    job = generation.submit_generation(
        actor=user, generator="HandwrittenDigits", params={"size": "16"}, n="50", seed=1, name="Small"
    )
    assert (job.queue, job.branch) == ("default", None)
    assert job.spec == {
        "generator": "HandwrittenDigits",
        "params": {"size": 16},
        "n": 50,
        "seed": 1,
        "name": "Small",
        "source_sha256": plugins["HandwrittenDigits"].source_id,
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"generator": "Nothing"}, "generator"),
        ({"params": {"size": 4}}, "params.size"),
        ({"params": {"colour": 4}}, "params.colour"),
        ({"n": 0}, "n"),
        ({"n": "x"}, "n"),
        ({"seed": -1}, "seed"),
        ({"name": "Handwritten digits"}, "name"),
        ({"name": " "}, "name"),
    ],
)
def test_bad_generation_input_names_its_field(user, plugins, dataset: Dataset, change, field) -> None:
    arguments = {"generator": "HandwrittenDigits", "params": {}, "n": 10, "seed": 0, "name": "New", **change}
    with pytest.raises(InvalidInput) as caught:
        generation.submit_generation(actor=user, **arguments)
    assert list(caught.value.fields) == [field]
    assert nothing_was_made()


@pytest.fixture
def checkpoint(branch: Branch) -> Checkpoint:
    return rows.make_checkpoint(branch)


def test_an_evaluation_names_its_checkpoint(user: Any, checkpoint: Checkpoint) -> None:
    job = jobs.submit_evaluation(actor=user, checkpoint=checkpoint)
    assert (job.queue, job.checkpoint, job.branch) == ("eval", checkpoint, checkpoint.branch)
    assert job.spec["suite"] == ["metrics", "reconstructions"]


@pytest.mark.parametrize(
    ("spec", "field"), [({"suite": ["magic"]}, "suite"), ({"suite": []}, "suite"), ({"images": 0}, "images")]
)
def test_bad_evaluation_input_names_its_field(user, checkpoint, spec, field) -> None:
    with pytest.raises(InvalidInput) as caught:
        jobs.submit_evaluation(actor=user, checkpoint=checkpoint, eval=spec)
    assert list(caught.value.fields) == [field]
    assert nothing_was_made()


def test_stopping_a_job_that_waits_cancels_it(user: Any, branch: Branch, task: Task) -> None:
    job = jobs.submit_training(actor=user, branch=branch, train={"steps": 1})
    event = jobs.request_control(actor=user, job=job, kind="stop", payload={})
    job.refresh_from_db()
    assert (job.state, event.status, event.actor) == (JobState.CANCELLED, "APPLIED", user)
    assert not OutboxMessage.objects.exists()


def test_stopping_a_running_job_asks_its_worker_once(
    user: Any, branch: Branch, task: Task, worker: Any
) -> None:
    job = jobs.submit_training(actor=user, branch=branch, train={"steps": 1})
    stale = Job.objects.get(pk=job.pk)
    lifecycle.claim(job.pk, worker)
    first = control.cancel(actor=user, job=stale)
    assert first.state == JobState.CLAIMED
    jobs.request_control(actor=user, job=first, kind="stop")
    assert list(JobEvent.objects.filter(kind="stop").values_list("status", flat=True)) == ["PENDING"]


@pytest.mark.parametrize("kind", ["pause", "resume", "set_lr", "stop"])
def test_nothing_can_be_asked_of_a_job_that_has_ended(user, branch, kind) -> None:
    job = rows.make_job(branch, state=JobState.SUCCEEDED)
    with pytest.raises(WrongState, match="done"):
        jobs.request_control(actor=user, job=job, kind=kind, payload={"lr": 0.1})
    assert not JobEvent.objects.exists()


def test_a_waiting_job_cannot_be_paused(user: Any, branch: Branch) -> None:
    with pytest.raises(WrongState, match="it waits in its queue; cancel it"):
        jobs.request_control(actor=user, job=rows.make_job(branch), kind="pause")


def test_an_unknown_control_names_the_known_ones(user: Any, branch: Branch) -> None:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1)
    with pytest.raises(
        InvalidInput, match="'explode' is not something a job can be asked; choose one of: pause"
    ):
        jobs.request_control(actor=user, job=job, kind="explode")


@pytest.mark.parametrize("lr", [0, -1, "x", None, 11, float("nan")])
def test_a_bad_learning_rate_is_refused(user: Any, branch: Branch, lr: Any) -> None:
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1)
    with pytest.raises(InvalidInput) as caught:
        jobs.request_control(actor=user, job=job, kind="set_lr", payload={"lr": lr})
    assert list(caught.value.fields) == ["lr"]

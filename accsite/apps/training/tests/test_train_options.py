"""The options of a training are judged when it is submitted, stand in the form, and are told on the job's page."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from acc.errors import InvalidInput
from acc.specs import TrainSpec
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.services import lifecycle
from accsite.apps.training.forms.train import TrainForm
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.pages.train_facts import train_facts
from accsite.apps.training.services import jobs
from accsite.apps.training.tests import rows

OPTIONS = {
    "steps": "500",
    "batch_size": "32",
    "accumulate": "4",
    "precision": "bf16",
    "compile": "default",
    "channels_last": "True",
    "early_stop": "total",
    "early_stop_patience": "300",
    "early_stop_min_delta": "0.01",
    "grad_clip_norm": "1",
    "lr_schedule": "cosine",
    "ranks": "2",
}


@pytest.mark.parametrize(
    ("train", "field", "sentence"),
    [
        ({"early_stop": "recon"}, "early_stop", "use one of: total, reconstruction"),
        ({"compile": "max-autotune", "device": "cpu"}, "compile", "need an NVIDIA GPU"),
        ({"precision": "fp8"}, "precision", "'fp8' is refused"),
        ({"accumulate": 0}, "accumulate", "0 is refused"),
        ({"ranks": 65}, "ranks", "65 is refused"),
        ({"ranks": 8, "batch_size": 4}, "ranks", "8 ranks cannot share batches of 4"),
        ({"early_stop": "total", "early_stop_patience": 5}, "early_stop_patience", "5 is refused"),
    ],
)
@pytest.mark.usefixtures("task")
def test_an_option_that_cannot_be_obeyed_is_refused_by_name(
    user: Any, branch: Branch, train: dict[str, Any], field: str, sentence: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        jobs.submit_training(actor=user, branch=branch, train={"steps": 5, **train})
    assert sentence in str(caught.value.fields[field])
    assert not Job.objects.exists()


@pytest.mark.usefixtures("task")
def test_an_emptied_number_shows_the_default_that_it_means(user: Any, branch: Branch) -> None:
    emptied = TrainForm({"steps": "5", "lr": "", "batch_size": ""})
    for name in ("lr", "batch_size"):
        assert f'placeholder="{TrainSpec(steps=5).model_dump()[name]}"' in str(emptied[name])
    job = jobs.submit_training(actor=user, branch=branch, train=emptied.payload())
    assert job.spec["train"]["lr"] == TrainSpec(steps=5).lr
    assert "placeholder" not in str(emptied["steps"]), "it has no default"
    assert "placeholder" not in str(emptied["grad_clip_norm"]), "it says itself what empty means"


def test_cuda_graphs_are_refused_while_only_cpus_are_online(user: Any, branch: Branch, task: Task) -> None:
    train = {"steps": 5, "compile": "reduce-overhead"}
    assert jobs.submit_training(actor=user, branch=branch, train=train).spec["train"]["compile"]
    rows.make_worker("w")
    with pytest.raises(InvalidInput) as caught:
        jobs.submit_training(actor=user, branch=branch, train=train)
    assert set(caught.value.fields) == {"compile"}


def test_the_form_offers_every_option_and_keeps_what_the_last_job_had(
    user: Any, branch: Branch, task: Task
) -> None:
    form = TrainForm(OPTIONS)
    job = jobs.submit_training(actor=user, branch=branch, train=form.payload())
    train = TrainSpec.model_validate(job.spec["train"])
    assert (train.accumulate, train.precision, train.channels_last, train.ranks) == (4, "bf16", True, 2)
    again = TrainForm.for_branch(branch)
    assert str(again["channels_last"]).count('value="True" selected') == 1
    assert 'value="bf16" selected' in str(again["precision"])


def test_the_page_of_a_job_says_how_it_trains_and_why_it_ended(
    client: Client, user: Any, branch: Branch, task: Task
) -> None:
    job = jobs.submit_training(actor=user, branch=branch, train=OPTIONS)
    rows.make_worker("w")
    Worker.objects.update(telemetry={"cores": 2})
    claim = lifecycle.claim(job.pk, "w")
    assert claim is not None
    lifecycle.start(job.pk, claim.attempt)
    message = "stopped early at step 400 of 500: the total loss was not below 2"
    assert lifecycle.finish(job.pk, claim.attempt, {"precision": "bf16"}, message)
    client.force_login(user)
    page = client.get(reverse("training:job", args=[job.pk])).content.decode()
    for text in (
        "4 times 32 images for each update, shared by 2 processes",
        "AdamW, learning rate 0.002, along a cosine, gradients clipped at 1",
        "bfloat16, compiled, channels last",
        message,
    ):
        assert text in page


def test_a_job_of_an_older_version_has_facts_too(branch: Branch) -> None:
    job = rows.make_job(branch)
    job.spec["train"] = {"steps": 7, "batch_size": 8, "gone": 1}
    assert dict(train_facts(job))["Batch"] == "8 images"


def test_an_experiment_holds_out_what_its_first_checkpoint_did(task: Task) -> None:
    branch = task.branch
    first = jobs.submit_training(actor=None, branch=branch, train={"steps": 5, "combinations": "digit=3"})
    assert first.spec["train"]["combinations"] == "digit=3"
    with pytest.raises(InvalidInput, match="no dataset has all of colour as targets"):
        jobs.submit_training(actor=None, branch=branch, train={"steps": 5, "combinations": "colour=red"})
    rows.make_checkpoint(branch, spec=first.spec)
    later = jobs.submit_training(actor=None, branch=branch, train={"steps": 5})
    assert later.spec["train"]["combinations"] == "digit=3"
    assert dict(train_facts(later))["Held-out combinations"] == "digit=3"
    with pytest.raises(InvalidInput, match="combinations: 'digit=4' is refused"):
        jobs.submit_training(actor=None, branch=branch, train={"steps": 5, "combinations": "digit=4"})

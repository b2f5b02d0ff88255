"""A page says of a lone task's weight what the engine knows of it: clipped gradients are changed by it."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from acc.specs import TrainSpec
from acc.training.losses import health
from accsite.apps.jobs.models import JobEvent
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.specs import task_spec
from accsite.apps.training.tests import rows


@pytest.mark.parametrize(
    "train",
    [
        {},
        {"grad_clip_norm": 1.0},
        {"optimizer": "adam", "weight_decay": 0.1},
        {"schedule": "sampled"},
        {"optimizer": "sgd"},
    ],
)
def test_the_page_says_what_the_engine_says(
    client: Client, user: Any, branch: Branch, task: Task, train: dict[str, Any]
) -> None:
    job = rows.make_job(branch)
    job.spec["train"] = TrainSpec(steps=1, **train).model_dump(mode="json")
    job.save()
    client.force_login(user)
    page = client.get(reverse("training:workbench", args=[branch.experiment.slug, branch.slug]))
    said = health.weight_has_no_effect([task_spec(task)], TrainSpec(steps=1, **train))
    assert page.context["lone"] == said
    assert ('id="lone"' in page.text) == bool(said)
    if train.get("grad_clip_norm"):
        assert "changes only which gradients are clipped at 1" in page.text


def test_the_page_goes_by_the_clipping_that_is_in_force(
    client: Client, user: Any, branch: Branch, task: Task
) -> None:
    job = rows.make_job(branch)
    asked = {"kind": "set_clip", "payload": {"grad_clip_norm": 0.25}, "status": "APPLIED", "step": 3}
    JobEvent.objects.create(job=job, **asked)
    client.force_login(user)
    page = client.get(reverse("training:workbench", args=[branch.experiment.slug, branch.slug]))
    assert "changes only which gradients are clipped at 0.25" in page.text

"""When the checkpoints of a branch are measured by themselves."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from rest_framework.test import APIClient

from acc.specs import EVAL_PARTS
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import lifecycle
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch, CheckpointKind
from accsite.apps.training.services import measuring
from accsite.apps.training.tests import rows
from accsite.apps.training.tests.test_checkpoints import save


@pytest.fixture
def branch(db: None) -> Branch:
    return rows.make_branch(None)


def train(branch: Branch, steps: list[int], end: bool = False) -> list[tuple[str, bool]]:
    """Autosave at these steps, measuring each at once; return suite and preview of what was queued."""
    rows.make_worker("cpu-0")
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=1000, step=1000)
    for step in steps:
        last = end and step == steps[-1]
        save(job, step, CheckpointKind.FINAL if last else CheckpointKind.AUTOSAVE)
        Job.objects.filter(kind="evaluate").update(state=JobState.SUCCEEDED)
    if end:
        lifecycle.finish(job.pk, 1)
    queued = Job.objects.filter(kind="evaluate").order_by("pk")
    return [(" ".join(each.spec["suite"]), each.preview) for each in queued]


WHOLE = " ".join(EVAL_PARTS)
PREVIEW = ("reconstructions", True)


@pytest.mark.parametrize(
    ("when", "every", "expected"),
    [
        ("end", None, [PREVIEW, PREVIEW, PREVIEW, (WHOLE, False)]),
        ("off", None, [PREVIEW, PREVIEW, PREVIEW]),
        ("steps", 100, [PREVIEW, (WHOLE, False), PREVIEW, (WHOLE, False)]),
    ],
)
def test_what_is_measured_of_a_run(branch: Branch, when: str, every: int | None, expected: Any) -> None:
    measuring.set_auto_evaluate(actor=None, branch=branch, when=when, every=every)
    assert train(branch, [60, 120, 180, 190], end=True) == expected


def test_previews_are_left_out_of_the_jobs_unless_asked_for(branch: Branch, client: Client) -> None:
    client.force_login(get_user_model().objects.create_user("ada"))
    rows.make_job(branch, kind="evaluate", title="Preview of it", preview=True)
    assert "Preview of it" not in client.get("/jobs/").content.decode()
    assert "Preview of it" in client.get("/jobs/?previews=1").content.decode()


def test_the_api_sets_when(branch: Branch) -> None:
    api = APIClient()
    api.force_login(get_user_model().objects.create_user("ada"))
    address = f"/api/v1/branches/{branch.pk}/"
    found = api.patch(address, {"auto_evaluate": "steps", "evaluate_every": 500}, format="json").json()
    assert (found["auto_evaluate"], found["evaluate_every"], found["name"]) == ("steps", 500, "main")
    assert api.patch(address, {"auto_evaluate": "end"}, format="json").json()["evaluate_every"] is None
    for bad, field in (
        ({"auto_evaluate": "often"}, "auto_evaluate"),
        ({"auto_evaluate": "steps"}, "evaluate_every"),
        ({"auto_evaluate": "steps", "evaluate_every": 0}, "evaluate_every"),
    ):
        answer = api.patch(address, bad, format="json")
        assert (answer.status_code, list(answer.json()["errors"])) == (422, [field])

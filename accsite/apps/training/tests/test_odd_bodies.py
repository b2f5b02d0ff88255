"""A body whose fields are of any kind at all is refused, or taken, and never a fault of the site."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from rest_framework.test import APIClient

from accsite.apps.training.tests import rows

pytestmark = pytest.mark.both_databases

ODD = [None, True, -1, 1.5, "x", [1], ["a", 2], {"a": 1}]


class Undo(Exception):
    """Takes back what a request made, so that the next one meets the same."""


@pytest.fixture
def bodies(user: Any, db: None) -> dict[str, dict[str, Any]]:
    """Return what can be asked: method and address -> a body that is right."""
    rows.make_plugins()
    branch = rows.make_branch(user)
    dataset = rows.make_dataset()
    task = rows.make_task(branch, dataset)
    job = rows.make_job(branch)
    checkpoint = rows.make_checkpoint(branch, job)
    api, slug = "/api/v1", branch.experiment.slug
    return {
        f"post {api}/experiments/": {"name": "New", "model": rows.MODEL, "visibility": "site"},
        f"patch {api}/experiments/{slug}/": {"retention": None},
        f"post {api}/experiments/{slug}/prune/": {"dry_run": True, "policy": None},
        f"post {api}/experiments/{slug}/restore/": {"deletion": "x"},
        f"post {api}/branches/": {
            "experiment": slug,
            "name": "side",
            "from_checkpoint": checkpoint.pk,
            "tasks": "all",
        },
        f"patch {api}/branches/{branch.pk}/": {"name": "n", "auto_evaluate": "off", "evaluate_every": 5},
        f"post {api}/branches/{branch.pk}/load/": {"checkpoint": checkpoint.pk},
        f"patch {api}/checkpoints/{checkpoint.pk}/": {"tag": "t", "note": "n", "starred": True},
        f"post {api}/tasks/": {
            "branch": branch.pk,
            "task_class": "ReconstructionTask",
            "dataset": dataset.slug,
            "name": "Another",
            "weight": 1.0,
            "enabled": True,
            "latent_slice": None,
            "factor": "",
            "params": {},
        },
        f"patch {api}/tasks/{task.pk}/": {"weight": 2.0, "enabled": True},
        f"post {api}/tasks/{task.pk}/move/": {"position": 0},
        f"post {api}/jobs/": {"kind": "train", "branch": branch.pk, "train": {"steps": 5}},
        f"post {api}/jobs/ ": {"kind": "evaluate", "checkpoint": checkpoint.pk, "eval": {}},
        f"post {api}/jobs/  ": {
            "kind": "generate",
            "generator": "HandwrittenDigits",
            "name": "More",
            "n": 8,
            "seed": 0,
            "params": {},
            "force": False,
        },
        f"post {api}/jobs/{job.pk}/control/": {
            "kind": "set_weight",
            "payload": {"task": task.key, "weight": 1},
        },
        f"post {api}/recipes/runs/": {"recipe": "Quickstart", "params": {}, "seed": 0},
        f"post {api}/branches/{branch.pk}/thresholds/": {"metric": "x", "moderate": 1, "good": 2},
        f"post {api}/eval/ufr/": {"checkpoint": checkpoint.pk, "options": {}},
    }


def ask(api: APIClient, where: str, body: Any) -> Any:
    """Return the answer, all that it changed undone."""
    method, _, address = where.partition(" ")
    try:
        with transaction.atomic():
            answer = getattr(api, method)(address.strip(), body, format="json")
            raise Undo
    except Undo:
        return answer


@pytest.mark.long(12)
@pytest.mark.timeout(600)
def test_no_field_of_a_body_breaks_the_site(user: Any, bodies: dict[str, Any]) -> None:
    api = APIClient(raise_request_exception=False)
    api.force_login(user)
    broken = []
    for where, right in bodies.items():
        odd = [*ODD, *({**right, field: value} for field in right for value in ODD)]
        nested = [field for field, value in right.items() if isinstance(value, dict)]
        odd += [
            {**right, field: {**right[field], name: value}}
            for field in nested
            for name in (*right[field], "steps", "threads", "suite", "latent_dim", "params")
            for value in ODD
        ]
        for body in odd:
            answer = ask(api, where, body)
            if answer.status_code >= 500:
                broken.append(f"{where} {body!r}: {answer.status_code}")
            elif answer.status_code in {400, 422}:
                assert answer.json()["detail"]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("value", [5, "abc", 1.5, True, [1], [1, 2, 3], {"a": 1}])
def test_a_task_of_an_odd_slice_is_refused_at_its_field(
    user: Any, bodies: dict[str, Any], value: Any
) -> None:
    api = APIClient()
    api.force_login(user)
    body = bodies["post /api/v1/tasks/"]
    answer = api.post("/api/v1/tasks/", {**body, "latent_slice": value}, format="json")
    assert (answer.status_code, next(iter(answer.json()["errors"])).split(".")[0]) == (422, "latent_slice")
    if not isinstance(value, dict):
        answer = api.post("/api/v1/tasks/", {**body, "params": value}, format="json")
        assert (answer.status_code, [*answer.json()["errors"]]) == (422, ["params"])


def test_a_method_that_is_not_allowed_is_told_in_whole_words(user: Any, bodies: dict[str, Any]) -> None:
    api = APIClient()
    api.force_login(user)
    answer = api.put("/api/v1/jobs/", {}, format="json")
    assert answer.json() == {
        "type": "about:blank",
        "title": "Method not allowed",
        "status": 405,
        "detail": 'Method "PUT" not allowed.',
    }
    answer = api.post("/api/v1/jobs/", "x", content_type="text/odd")
    assert (answer.status_code, answer.json()["title"]) == (415, "Unsupported media type")

"""Evaluations are shown to those who may see their experiment, with their pictures' bytes."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from accsite import blobs
from accsite.apps.evaluation import services
from accsite.apps.evaluation.models import Evaluation, Threshold
from accsite.apps.evaluation.tests.test_record import Measured, Result, evaluation_job, grid
from accsite.apps.training.models import Experiment
from accsite.apps.training.tests import rows


@pytest.fixture
def evaluation(db: None) -> Evaluation:
    job = evaluation_job(rows.make_branch(None))
    measured = [
        Measured("digit", "accuracy", 0.5),
        Measured("kl", "loss", None, reason="no rows are held out"),
    ]
    return services.record(job.pk, 1, Result(metrics=measured, reconstructions=[grid()]))


@pytest.fixture
def api(db: None) -> APIClient:
    client = APIClient()
    client.force_login(get_user_model().objects.create_user("ada"))
    return client


def test_numbers_reasons_and_bytes(api: APIClient, evaluation: Evaluation) -> None:
    (found,) = api.get(f"/api/v1/evaluations/?branch={evaluation.branch_id}").json()["results"]
    assert [(metric["name"], metric["value"], metric["reason"]) for metric in found["metrics"]] == [
        ("accuracy", 0.5, ""),
        ("loss", None, "no rows are held out"),
    ]
    (picture,) = found["artifacts"]
    answer = api.get(picture["url"])
    assert answer["Content-Type"] == "image/png"
    data = b"".join(answer.streaming_content)  # type: ignore[attr-defined]
    stored = evaluation.artifacts.get()
    assert data == blobs.open_local(stored.file, stored.sha256).read_bytes()


def test_thresholds_are_set_read_and_taken_back(api: APIClient, evaluation: Evaluation) -> None:
    where = f"/api/v1/branches/{evaluation.branch_id}/thresholds/"
    asked = {"task": "digit", "metric": "accuracy", "moderate": 0.4, "good": 0.9}
    assert api.get(where).json() == {"thresholds": []}
    Threshold.objects.create(branch=None, task_key="digit", name="accuracy", moderate=0.1, good=0.9)
    assert api.get(where).json() == {"thresholds": [{**asked, "moderate": 0.1, "set_for": "site"}]}
    assert api.post(where, asked, format="json").json()["thresholds"] == [{**asked, "set_for": "branch"}]
    refused = api.post(where, {**asked, "good": 0.1}, format="json")
    assert (refused.status_code, list(refused.json()["errors"])) == (422, ["good"])
    unknown = api.post(where, {"metric": "beauty"}, format="json")
    assert (unknown.status_code, list(unknown.json()["errors"])) == (422, ["metric"])
    back = api.post(where, {"task": "digit", "metric": "accuracy"}, format="json")
    assert back.json()["thresholds"][0]["set_for"] == "site"


def test_private_and_unknown_ones_are_not_there(api: APIClient, evaluation: Evaluation) -> None:
    address = f"/api/v1/evaluations/{evaluation.pk}/"
    assert api.get(address).status_code == 200
    assert api.get(f"{address}artifacts/999/").status_code == 404
    Experiment.objects.update(visibility="private")
    assert api.get(address).status_code == 404
    assert api.get(f"{address}artifacts/{evaluation.artifacts.get().pk}/").status_code == 404
    assert api.get("/api/v1/evaluations/").json()["count"] == 0


@pytest.mark.parametrize("query", ["branch=x", "job=-1"])
def test_a_bad_filter_is_refused(api: APIClient, query: str) -> None:
    assert api.get(f"/api/v1/evaluations/?{query}").status_code == 422


def test_an_evaluation_is_in_the_admin(evaluation: Evaluation, client: Any) -> None:
    client.force_login(get_user_model().objects.create_superuser("root"))
    assert client.get("/admin/evaluation/evaluation/").status_code == 200
    page = client.get(f"/admin/evaluation/evaluation/{evaluation.pk}/change/")
    assert page.status_code == 200
    assert f"/api/v1/evaluations/{evaluation.pk}/artifacts/" in page.content.decode()

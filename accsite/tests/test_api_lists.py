"""Lists come in pages, in the order asked for; what cannot be read of a request is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from accsite.apps.audit.models import Via
from accsite.apps.audit.services import record
from accsite.apps.training.tests import rows

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
MOST_BYTES = 2_000


@pytest.fixture
def user(django_user_model: Any) -> Any:
    return django_user_model.objects.create_user("ada")


@pytest.fixture
def api(user: Any) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


def slugs(api: APIClient, query: str) -> list[str]:
    return [row["slug"] for row in api.get(f"/api/v1/experiments/?{query}").json()["results"]]


def test_a_list_is_ordered_and_filtered(api: APIClient, user: Any) -> None:
    for name in ("bravo", "alpha", "charlie"):
        rows.make_branch(user, name)
    assert slugs(api, "ordering=name") == ["alpha", "bravo", "charlie"]
    assert slugs(api, "ordering=-name&limit=1&offset=1") == ["bravo"]
    assert slugs(api, "q=RAV") == ["bravo"]
    assert slugs(api, "owner=nobody") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=many", "limit"),
        ("limit=0", "limit"),
        ("offset=-1", "offset"),
        ("offset=99999999999999999999", "offset"),
        ("ordering=owner__password", "ordering"),
        ("ordering=name,", "ordering"),
    ],
)
def test_what_is_no_page_and_no_order_is_refused_by_name(api: APIClient, query: str, field: str) -> None:
    answer = api.get(f"/api/v1/experiments/?{query}")
    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == [field]


def test_an_id_of_too_many_digits_is_refused(api: APIClient) -> None:
    for where in ("checkpoints/?branch", "evaluations/?job", "tasks/?branch"):
        assert api.get(f"/api/v1/{where}={'9' * 30}").status_code == 422


def test_workers_and_runs_are_filtered_by_state(api: APIClient) -> None:
    rows.make_worker("one")
    assert api.get("/api/v1/workers/?state=OFFLINE").json()["count"] == 0
    assert api.get("/api/v1/workers/?state=ONLINE&device=cpu").json()["count"] == 1
    assert "state" in api.get("/api/v1/workers/?state=gone").json()["errors"]
    assert "state" in api.get("/api/v1/recipes/runs/?state=gone").json()["errors"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ('{"name": "a\\u0000b"}', 422, "zero byte"),
        ('{"name": "\\ud800"}', 422, "half of a character"),
        ('{"\\ud800": 1}', 422, "half of a character"),
        ('{"model": {"latent_dim": 1e999}}', 422, "too large"),
        ('{"model": {"latent_dim": 18446744073709551616}}', 422, "out of range"),
        ('{"name": ' + "9" * 100 + "}", 400, "100 digits"),
        ('{"name": NaN}', 400, "NaN is not a number"),
        ("[" * 900, 400, "not JSON"),
        ("[" * 100 + "]" * 100, 422, "nested deeper"),
        ("{", 400, "not JSON"),
        ('"' + "a" * MOST_BYTES + '"', 413, "may have 2,000 bytes"),
    ],
)
def test_a_body_that_nothing_can_keep_is_refused(
    api: APIClient, settings: Any, body: str, status: int, said: str
) -> None:
    settings.ACC_MAX_BODY_BYTES = MOST_BYTES
    answer = api.post("/api/v1/experiments/", body, content_type="application/json")
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    assert said in json.dumps(answer.json())


def test_bytes_that_are_no_text_are_refused(api: APIClient) -> None:
    answer = api.post("/api/v1/experiments/", b'"\xff"', content_type="application/json")
    assert (answer.status_code, answer.json()["detail"]) == (400, "the body is not JSON: it is not UTF-8")


def test_a_fault_of_the_site_is_a_problem_too(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from accsite.apps.trees.api.experiments import ExperimentViewSet

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(ExperimentViewSet, "get_queryset", broken)
    client = APIClient(raise_request_exception=False)
    client.force_login(user)
    answer = client.get("/api/v1/experiments/")
    assert (answer.status_code, answer["Content-Type"]) == (500, "application/problem+json")
    assert "secret" not in answer.content.decode()


def test_the_audit_log_tells_of_what_one_may_see(api: APIClient, user: Any) -> None:
    other = get_user_model().objects.create_user("bob")
    mine, secret = rows.make_branch(user, "mine"), rows.make_branch(other, "secret", visibility="private")
    for branch in (mine, secret):
        about = {f"experiment:{branch.experiment_id}"}
        record(actor=other, via=Via.API, action="branch change", about=about, detail={})
    seen = api.get(f"/api/v1/audit/?about=experiment:{mine.experiment_id}").json()["results"]
    assert [(line["actor"], line["action"]) for line in seen] == [("bob", "branch change")]
    assert api.get(f"/api/v1/audit/?about=experiment:{secret.experiment_id}").status_code == 422
    assert api.get("/api/v1/audit/").status_code == 422
    api.force_login(get_user_model().objects.create_superuser("root"))
    assert api.get("/api/v1/audit/").json()["count"] == 2

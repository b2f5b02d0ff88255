"""What holds of every operation: errors are problems, what starts work takes a key, what never changes is sent once."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from accsite.api.throttling import WriteThrottle
from accsite.apps.access.tokens import make_token
from accsite.apps.jobs.models import Job
from accsite.apps.registry.models import PluginKind
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.django_db
STATES = {"JobState", "RunSummary"}
# They act on work that is there, and sent again find it as it then is.
STEERS = {
    "/api/v1/queue/{id}/move/",
    "/api/v1/recipes/runs/{id}/stop/",
    "/api/v1/recipes/runs/{id}/resume/",
} | {f"/api/v1/jobs/{{id}}/{verb}/" for verb in ("resume", "pause", "stop", "requeue")}
JSON = "application/json"


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def api(user: User) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


def test_every_operation_says_in_a_line_what_it_does() -> None:
    schema: Any = SchemaGenerator().get_schema(request=None, public=True)
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            summary = operation.get("summary", "")
            assert 0 < len(summary) <= 120, f"{method} {path}: {summary}"
            assert operation["description"].replace("\n", " ").startswith(summary)


def test_whatever_starts_work_says_that_it_takes_a_key() -> None:
    schema: Any = SchemaGenerator().get_schema(request=None, public=True)
    starts, keyed = set(), set()
    for path, operations in schema["paths"].items():
        asked = operations.get("post", {})
        answers = str([answer for code, answer in asked.get("responses", {}).items() if code[0] == "2"])
        if any(f"/{name}'" in answers for name in STATES) and path not in STEERS:
            starts.add(path)
        if any(each["name"] == "Idempotency-Key" for each in asked.get("parameters", [])):
            keyed.add(path)
    assert starts == keyed
    assert len(starts) >= 11


@pytest.mark.parametrize("where", ["jobs", "generate", "recipe", "eval"])
def test_what_is_sent_twice_with_a_key_starts_one_job(where: str, api: APIClient, user: User) -> None:
    rows.make_plugins()
    rows.make_plugin(PluginKind.RECIPE, "Quickstart")
    branch = rows.make_branch(user)
    rows.make_task(branch, rows.make_dataset())
    checkpoint = rows.make_checkpoint(branch)
    path, body = {
        "jobs": ("jobs/", {"kind": "train", "branch": branch.pk, "train": {"steps": 5}}),
        "generate": ("generators/generate/", {"generator": "HandwrittenDigits", "n": 5}),
        "recipe": ("recipes/run/", {"recipe": "Quickstart"}),
        "eval": ("eval/ufr/", {"checkpoint": checkpoint.pk}),
    }[where]
    before = Job.objects.count()
    sent = [
        api.post(f"/api/v1/{path}", body, format="json", headers={"Idempotency-Key": "k"}) for _ in range(2)
    ]
    assert [answer.status_code for answer in sent] == [sent[0].status_code] * 2, sent[0].content
    assert sent[0].status_code in {201, 202}
    assert sent[0].json()["id"] == sent[1].json()["id"]
    assert sent[0]["Location"] == sent[1]["Location"]
    assert Job.objects.count() == before + 1


@pytest.mark.parametrize(
    ("code", "method", "path", "how"),
    [
        (400, "post", "experiments/", {"data": "{", "content_type": JSON}),
        (400, "get", "experiments/?q=%00", {}),
        (403, "post", "workers/{worker}/drain/", {}),
        (404, "get", "experiments/nowhere/", {}),
        (404, "get", "no/such/thing/", {}),
        (405, "put", "experiments/", {"data": "{}", "content_type": JSON}),
        (409, "delete", "checkpoints/{checkpoint}/", {}),
        (413, "post", "experiments/", {"data": '"' + "a" * 3_000 + '"', "content_type": JSON}),
        (415, "post", "experiments/", {"data": "<a/>", "content_type": "application/xml"}),
        (422, "post", "experiments/", {"data": "{}", "content_type": JSON}),
        (422, "get", "jobs/?state=gone", {}),
    ],
)
def test_an_error_is_a_problem_with_a_sentence(
    code: int, method: str, path: str, how: dict[str, Any], *, api: APIClient, user: User, settings: Any
) -> None:
    settings.ACC_MAX_BODY_BYTES = 2_000
    checkpoint = rows.make_checkpoint(rows.make_branch(user))
    rows.make_checkpoint(checkpoint.branch, parent=checkpoint)
    where = path.format(worker=rows.make_worker("w").pk, checkpoint=checkpoint.pk)
    assert_problem(getattr(api, method)(f"/api/v1/{where}", **how), code)


def assert_problem(answer: Any, code: int) -> None:
    assert answer.status_code == code, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == code
    assert problem["title"]
    assert len(problem["detail"]) > 15, problem


def test_who_is_not_signed_in_is_told_so_as_a_problem() -> None:
    nobody = APIClient()
    assert_problem(nobody.get("/api/v1/jobs/"), 401)
    wrong = nobody.get("/api/v1/jobs/", headers={"Authorization": "Token acc_0"})
    assert_problem(wrong, 401)
    assert wrong["WWW-Authenticate"] == "Token"


def test_a_browser_without_the_token_of_its_page_is_told_so_as_a_problem(user: User) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(user)
    assert_problem(browser.post("/api/v1/experiments/", {}, format="json"), 403)


def test_who_changes_too_much_is_told_when_to_come_again(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    monkeypatch.setattr(WriteThrottle, "THROTTLE_RATES", {"writes": "1/min"})
    _, token = make_token(user=user, name="fast", scope="write")
    program = APIClient()
    program.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    program.post("/api/v1/experiments/", {}, format="json")
    refused = program.post("/api/v1/experiments/", {}, format="json")
    assert_problem(refused, 429)
    assert 0 < int(refused["Retry-After"]) <= 60
    assert program.get("/api/v1/experiments/").status_code == 200


def test_what_never_changes_is_sent_once(api: APIClient, user: User) -> None:
    plugin = rows.make_plugin(PluginKind.RECIPE, "Quickstart")
    checkpoint = rows.make_checkpoint(rows.make_branch(user))
    for path in (f"plugin-sources/{plugin.source.pk}/", f"checkpoints/{checkpoint.pk}/"):
        first = api.get(f"/api/v1/{path}")
        assert first.status_code == 200, path
        again = api.get(f"/api/v1/{path}", headers={"If-None-Match": first["ETag"]})
        assert (again.status_code, again.content) == (304, b""), path

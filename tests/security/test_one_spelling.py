"""One spelling wherever something is asked for: page, API, command, client and recipe agree, and refuse the same."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from acc.errors import InvalidInput
from acc.specs import parse_slice
from accsite.api.queries import _operations, parameters_of
from accsite.apps.access.tokens import make_token
from accsite.apps.training.models import Task
from accsite.apps.training.services import tasks
from tests.security.world import SECRET

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("written", "meant"),
    [("0:3", (0, 3)), (" 2:4 ", (2, 4)), ([0, 3], (0, 3)), ((1, 2), (1, 2)), (None, None), ("", None)],
)
def test_a_slice_is_read_alike(written, meant):
    assert parse_slice(written) == meant


@pytest.mark.parametrize(
    "wrong",
    [
        "06",
        "0-6",
        "0:",
        ":6",
        "0:6:2",
        "3:3",
        "6:2",
        "a:b",
        "²:3",
        "-1:2",
        6,
        0.5,
        True,
        [0],
        [0, 1, 2],
        [0, True],
        {},
    ],
)
def test_a_wrong_slice_is_refused_alike_by_every_door(wrong, world):
    owner, branch, dataset = world.users["owner"], world.branch, world.dataset
    before = Task.objects.count()
    with pytest.raises(InvalidInput) as said:
        parse_slice(wrong)
    assert list(said.value.fields) == ["latent_slice"]
    fields = {"task_class": "KLDivergenceTask", "dataset": dataset.slug, "latent_slice": wrong}
    with pytest.raises(InvalidInput) as service:  # a recipe's verb calls it as it stands
        tasks.add_task(actor=owner, branch=branch, **fields)
    assert service.value.fields["latent_slice"] == said.value.fields["latent_slice"]
    rest = APIClient()
    rest.force_authenticate(owner)
    answer = rest.post("/api/v1/tasks/", {"branch": branch.pk, **fields}, format="json")
    assert answer.status_code == 422
    told = answer.data["errors"]["latent_slice"]
    if not isinstance(wrong, tuple):
        assert told == said.value.fields["latent_slice"]
    if isinstance(wrong, str):
        browser = Client()
        browser.force_login(owner)
        page = browser.post(reverse("training:task-add", args=[SECRET, "main"]), fields)
        assert page.status_code == 422
        with pytest.raises(SystemExit) as caught:
            call_command(
                *("tasks", "add", "KLDivergenceTask", "--experiment", SECRET, "--dataset", dataset.slug),
                f"--latent-slice={wrong}",
            )
        assert caught.value.code == 2
    assert Task.objects.count() == before


OPERATIONS = [(method, path.pattern) for path, methods in _operations() for method in methods]


@pytest.mark.parametrize(("method", "pattern"), OPERATIONS, ids=[f"{m} {p}" for m, p in OPERATIONS])
def test_every_operation_refuses_a_query_parameter_that_it_does_not_have(method, pattern, world):
    path = pattern.replace("[^/]+", "1").replace(".+", "tasks/a.py").replace("\\", "")
    rest = APIClient()
    rest.force_login(world.users["administrator"])
    answer = rest.generic(method.upper(), f"{path}?nonsense=1&another=2")
    assert answer.status_code == 422, (path, answer.content)
    problem = json.loads(answer.content)
    assert answer["Content-Type"] == "application/problem+json"
    assert list(problem["errors"]) == ["nonsense", "another"]
    assert "is not a query parameter of this operation" in problem["detail"]
    assert APIClient().generic(method.upper(), f"{path}?nonsense=1").status_code in {401, 403}


def test_what_an_operation_does_have_is_taken(world):
    rest = APIClient()
    rest.force_authenticate(world.users["owner"])
    where = "/api/v1/jobs/history/?limit=2&offset=0&ordering=-id&state=active"
    assert rest.get(where).status_code == 200
    assert rest.get("/api/v1/jobs/?limit=2&kind=train&v=1").status_code == 200
    assert "<target>.min" in (parameters_of("/api/v1/datasets/x/samples/", "GET") or [])


@pytest.mark.parametrize("scheme", ["Token", "Bearer", "bearer"])
def test_a_token_may_be_introduced_by_either_word(scheme, world):
    _, token = make_token(user=world.users["owner"], name="t")
    client = APIClient()
    assert client.get("/api/v1/me/", headers={"Authorization": f"{scheme} {token}"}).status_code == 200
    wrong = client.get("/api/v1/me/", headers={"Authorization": f"{scheme} acc_{'0' * 64}"})
    assert (wrong.status_code, "this token is unknown" in wrong.text) == (401, True)
    empty = client.get("/api/v1/me/", headers={"Authorization": scheme})
    assert (empty.status_code, "send one token" in empty.text) == (401, True)

"""One spelling wherever something is asked for: page, API, command, client and recipe agree, and refuse the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from acc.client.client import Branches
from acc.errors import AccError, InvalidInput
from acc.specs import TaskSpec, parse_slice
from accsite.api.queries import _operations, parameters_of
from accsite.apps.access.tokens import make_token
from accsite.apps.training.models import Branch, Checkpoint, Task
from accsite.apps.training.services import experiments, tasks
from accsite.apps.training.tests import rows
from tests.security.world import SECRET, World
from workers.recipes import verbs as recipe_verbs

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


@pytest.fixture
def trained(world: World) -> Iterator[Checkpoint]:
    """A checkpoint that was trained with the tasks ``edges`` and ``pixels``; nothing of it stays."""
    with transaction.atomic():
        found = []
        for key in ("edges", "pixels"):
            task = rows.make_task(world.branch, world.dataset, key)
            names = {"key": key, "name": task.name, "task_class": task.task_class}
            found.append(TaskSpec(**names, dataset=world.dataset.slug).model_dump(mode="json"))
        checkpoint = rows.make_checkpoint(world.branch)
        checkpoint.spec["tasks"] = found
        checkpoint.save()
        yield checkpoint
        transaction.set_rollback(True)


class ThroughTheApi:
    """Carries what the client sends to the API, without a network."""

    def __init__(self, rest: APIClient) -> None:
        self._rest = rest

    def json(self, method: str, path: str, body: Any) -> Any:
        """Return the answer; raises InvalidInput for one that refuses."""
        answer = self._rest.generic(method, f"/api/v1/{path}", json.dumps(body), "application/json")
        if answer.status_code >= 400:
            raise InvalidInput(answer.data["errors"])
        return answer.data


def forks(world: World, checkpoint: Checkpoint, wanted: Any) -> dict[str, Callable[[str], Any]]:
    """Return what forks a checkpoint under a name, by door; each raises or exits where it refuses."""
    owner, experiment = world.users["owner"], checkpoint.experiment
    rest, browser = APIClient(), Client()
    rest.force_authenticate(owner)
    assert owner is not None
    browser.force_login(owner)
    through = ThroughTheApi(rest)
    body = {"experiment": experiment.slug, "from_checkpoint": checkpoint.pk, "tasks": wanted}
    args = {"checkpoint": checkpoint.pk, "branch": None, "tasks": wanted}

    def page(name: str) -> None:
        sent = wanted if isinstance(wanted, str) else ["", *wanted]  # as the ticked boxes are sent
        where = reverse("trees:checkpoint-act", args=[checkpoint.pk, "fork"])
        answer = browser.post(where, {"name": name, "tasks": sent})
        if answer.status_code == 422:
            assert f"fork-{checkpoint.pk}-tasks_error" in answer.text
            raise InvalidInput({"tasks": "as the page says"})
        assert answer.status_code == 302

    def command(name: str) -> None:
        written = wanted if isinstance(wanted, str) else ",".join(wanted) or "none"
        call_command("fork", str(checkpoint.pk), name, f"--tasks={written}", "--user", "owner")

    def recipe(name: str) -> None:
        verb = recipe_verbs.Fork(world.things["recipe"], "fork", {**args, "name": name})
        verb.act(None)  # type: ignore[arg-type]  # it does not ask for its step

    found: dict[str, Callable[[str], Any]] = {
        "service": lambda name: experiments.create_branch(
            actor=owner, experiment=experiment, name=name, from_checkpoint=checkpoint, tasks=wanted
        ),
        "api": lambda name: through.json("POST", "branches/", {**body, "name": name}),
        "recipe": recipe,
    }
    if isinstance(wanted, str) or (isinstance(wanted, list) and all(isinstance(key, str) for key in wanted)):
        found["client"] = lambda name: Branches(through, "branches").create(  # type: ignore[arg-type]
            experiment.slug, name, from_checkpoint=checkpoint.pk, tasks=wanted
        )
        found["page"] = page
        found["command"] = command
    return found


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        ("all", ["edges", "pixels"]),
        ("none", []),
        ([], []),
        ("edges", ["edges"]),
        (["edges"], ["edges"]),
        ("pixels, edges", ["edges", "pixels"]),
        (["pixels", "edges"], ["edges", "pixels"]),
        (["Edges"], ["edges"]),
    ],
)
def test_the_tasks_of_a_fork_are_said_alike_at_every_door(wanted, taken, world, trained):
    doors = forks(world, trained, wanted)
    assert {"service", "api", "client", "page", "command", "recipe"} == set(doors)
    for door, fork in doors.items():
        fork(f"by {door}")
        made = Branch.objects.get(experiment=trained.experiment, name=f"by {door}")
        assert sorted(made.tasks.values_list("key", flat=True)) == taken, door


@pytest.mark.parametrize(
    "wrong", ["nothing", "edges,nothing", ["nothing"], ",", "ALL", True, False, None, 5, [5], {"edges": 1}]
)
def test_wrong_tasks_of_a_fork_are_refused_alike_by_every_door(wrong, world, trained, capsys):
    before = Branch.objects.count()
    doors = forks(world, trained, wrong)
    with pytest.raises(InvalidInput) as said:
        doors["service"]("x")
    assert list(said.value.fields) == ["tasks"]
    for door, fork in doors.items():
        with pytest.raises((AccError, SystemExit)) as refused:
            fork(f"by {door}")
        if isinstance(refused.value, SystemExit):
            assert refused.value.code == 2
            assert said.value.fields["tasks"][0] in capsys.readouterr().err
        elif door != "page":
            assert isinstance(refused.value, InvalidInput)
            assert refused.value.fields == said.value.fields, door
    assert Branch.objects.count() == before


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

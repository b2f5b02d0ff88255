"""Each role against each endpoint of the API, about an experiment that is private.

The endpoints are read from the routes, so that a new one fails here until it is said who may use it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.urls import reverse
from rest_framework.test import APIClient

from accsite import actions
from tests.security.world import PEOPLE, SECRET, World, routes

pytestmark = pytest.mark.django_db

SIGNED_IN = set(PEOPLE) - {"nobody"}
SEES = {"reader", "editor", "owner", "operator", "administrator"}
WRITES = {"stranger", "reader", "editor", "owner", "administrator"}
CHANGES = {"editor", "owner", "administrator"}
STEERS = {*CHANGES, "operator"}
OPERATES = {"operator", "administrator"}
MANAGES = {"owner", "administrator"}
RUNS = {"owner", "operator", "administrator"}
LOOKS = {"owner", "administrator"}

WHO_ACTS: dict[str, set[str]] = {
    "experiment": CHANGES,
    "branch": CHANGES,
    "checkpoint": CHANGES,
    "task": CHANGES,
    "job": STEERS,
    "job-retry": OPERATES,
    "job-requeue": OPERATES,
    "worker": OPERATES,
    "dataset": WRITES,
    "recipe-run": RUNS,
    "study": MANAGES,
    "study-copy": WRITES & SEES,
}
"""Who may use the actions (``accsite.actions``) on objects, and those that are for others than these."""


def who_acts(kind: actions.ActionType) -> set[str]:
    """Return who may use an action on the private experiment, or on what is beside it."""
    name = actions.things_of(kind.on).name
    return WHO_ACTS.get(f"{name}-{kind.verb}", WHO_ACTS[name])


ACTIONS = {f"{actions.things_of(kind.on).name}-{kind.verb}": kind for kind in actions.every()}
UPLOADS = {"dataset-import", "checkpoint-take-in", "track-weights"}

ENDPOINTS: dict[str, set[str]] = {
    **{f"POST {name}": who_acts(kind) for name, kind in ACTIONS.items()},
    "GET api-root": SIGNED_IN,
    "GET schema": SIGNED_IN,
    "GET me": SIGNED_IN,
    "GET search": SIGNED_IN,
    "GET news": SIGNED_IN,
    "POST news-read": SIGNED_IN,
    "GET token-list": SIGNED_IN,
    "POST token-list": SIGNED_IN,
    "DELETE token-detail": set(),  # this one is nobody's
    "GET audit-list": SIGNED_IN,
    "GET experiment-list": SIGNED_IN,
    "POST experiment-list": WRITES,
    "GET experiment-detail": SEES,
    "PATCH experiment-detail": CHANGES,
    "GET experiment-sharing": SEES,
    "PATCH experiment-sharing": MANAGES,
    "GET experiment-tree": SEES,
    "POST experiment-prune": CHANGES,
    "POST experiment-restore": CHANGES,
    "GET experiment-note": SEES,
    "PUT experiment-note": CHANGES,
    "GET branch-note": SEES,
    "PUT branch-note": CHANGES,
    "GET branch-list": SIGNED_IN,
    "POST branch-list": CHANGES,
    "GET branch-detail": SEES,
    "PATCH branch-detail": CHANGES,
    "POST branch-load": CHANGES,
    "GET branch-thresholds": SEES,
    "POST branch-thresholds": CHANGES,
    "GET task-list": SIGNED_IN,
    "POST task-list": CHANGES,
    "GET task-detail": SEES,
    "PATCH task-detail": CHANGES,
    "DELETE task-detail": CHANGES,
    "POST task-move": CHANGES,
    "POST task-restore": CHANGES,
    **{f"GET run-{name}": SIGNED_IN for name in ("list", "columns", "groups", "export")},
    "GET job-list": SIGNED_IN,
    "POST job-list": CHANGES,
    "GET job-history": SIGNED_IN,
    "GET job-detail": SEES,
    "POST job-control": STEERS,
    "GET job-events": SEES,
    "GET job-log": SEES,
    "GET job-loss-history": SEES,
    "GET checkpoint-list": SIGNED_IN,
    "GET checkpoint-detail": SEES,
    "PATCH checkpoint-detail": CHANGES,
    "DELETE checkpoint-detail": CHANGES,
    "GET checkpoint-export": SEES,
    "GET checkpoint-model": SEES,
    "GET checkpoint-weights": SEES,
    "POST checkpoint-take-in": WRITES,  # it becomes an experiment of one's own
    "GET evaluation-list": SIGNED_IN,
    "GET evaluation-detail": SEES,
    "GET evaluation-artifact": SEES,
    **{
        f"POST eval-{part}": CHANGES
        for part in ("run", "compare", "reconstructions", "traversals", "sort", "attention", "ufr")
    },
    "GET worker-list": SIGNED_IN,
    "GET worker-detail": SIGNED_IN,
    "GET queue-list": SIGNED_IN,
    "POST queue-move": OPERATES,
    "GET recipe-run-list": SIGNED_IN,
    "GET recipe-run-detail": SEES,
    "POST recipe-run-stop": RUNS,
    "POST recipe-run-resume": RUNS,
    "POST recipe-start-list": WRITES,
    "GET study-list": SIGNED_IN,
    "GET study-detail": SEES,
    "GET study-export": SEES,
    "GET dataset-list": SIGNED_IN,
    "GET dataset-detail": SIGNED_IN,
    "PATCH dataset-detail": WRITES,
    "DELETE dataset-detail": WRITES,
    "POST dataset-restore": WRITES,
    "GET dataset-compare": SIGNED_IN,
    "GET dataset-nearest": SIGNED_IN,
    "GET dataset-export": SIGNED_IN,
    "GET dataset-histogram": SIGNED_IN,
    "GET dataset-mean": SIGNED_IN,
    "GET dataset-pairs": SIGNED_IN,
    "GET dataset-samples": SIGNED_IN,
    "GET dataset-sprite": SIGNED_IN,
    "GET dataset-statistics": SIGNED_IN,
    "GET dataset-targets": SIGNED_IN,
    "GET dataset-regeneration": SIGNED_IN,
    "GET dataset-look": LOOKS,
    "GET dataset-look-picture": LOOKS,
    "POST dataset-import": WRITES,
    "POST track": WRITES,
    "POST track-blocks": set(),  # the job there is no run of a loop
    "POST track-weights": set(),
    "POST generator-generate": WRITES,
    "POST generator-preview": WRITES,
    "GET generator-preview-picture": set(),  # this one has never been made
    "GET plugin-file-list": SIGNED_IN,
    "GET plugin-file-detail": SIGNED_IN,
    "GET plugin-source-list": SIGNED_IN,
    "GET plugin-source-detail": SIGNED_IN,
    "POST plugin-source-approve": {"administrator"},
    "POST plugin-source-withdraw": {"administrator"},
    **{
        f"GET registry-{kind}-{what}": SIGNED_IN
        for kind in ("task", "generator", "model", "method", "metric", "recipe")
        for what in ("list", "detail")
    },
}


def endpoints() -> Iterator[tuple[str, str, set[str]]]:
    """Yield (method, name, names of arguments) of everything that the API answers."""
    for _namespace, where, pattern in routes("accsite.api.urls"):
        if pattern.name is None or "format" in where:
            continue
        actions = getattr(pattern.callback, "actions", None)
        view = getattr(pattern.callback, "cls", None)
        methods = actions or [m for m in ("get", "post", "put", "patch", "delete") if hasattr(view, m)]
        arguments = set(re.findall(r"\?P<(\w+)>", where)) | set(re.findall(r"<\w+:(\w+)>", where))
        for method in methods:
            yield method.upper(), pattern.name, arguments


CASES = list(endpoints())


def body_of(name: str, world: World) -> dict[str, Any]:
    """Return a body that names the private experiment, for what is made in one."""
    branch, checkpoint = world.things["branch"].pk, world.things["checkpoint"].pk
    if name.startswith("eval-"):
        both = {"checkpoints": [checkpoint, world.things["other"].pk]}
        return both if name == "eval-compare" else {"checkpoint": checkpoint}
    return {
        "branch-list": {"experiment": SECRET, "name": "another"},
        "task-list": {"branch": branch, "task_class": "KLDivergenceTask"},
        "job-list": {"kind": "train", "branch": branch, "train": {"steps": 0}},
        "branch-load": {"from_checkpoint": checkpoint},
    }.get(name, {})


def test_every_endpoint_says_who_may_use_it():
    unnamed = [where for _, where, pattern in routes("accsite.api.urls") if pattern.name is None]
    assert unnamed == ["<path:path>"], "only what answers that there is nothing may go without a name"
    found = {f"{method} {name}" for method, name, _ in CASES}
    assert found - set(ENDPOINTS) == set(), "say in ENDPOINTS who may use these"
    assert set(ENDPOINTS) - found == set(), "these are gone"


@pytest.mark.parametrize(("method", "name", "arguments"), CASES, ids=[f"{m} {n}" for m, n, _ in CASES])
def test_an_endpoint_is_open_to_those_it_is_meant_for_and_nobody_else(method, name, arguments, world):
    where = reverse(f"api:{name}", kwargs=world.arguments(name, arguments))
    opened = set()
    for person, user in world.users.items():
        client = APIClient(raise_request_exception=False)
        if user is not None:
            client.force_authenticate(user)
        body = body_of(name, world) if method != "GET" else None
        how = "multipart" if name in UPLOADS else "json"
        with transaction.atomic():
            answer = getattr(client, method.lower())(
                where, body, **({"format": how} if body is not None else {})
            )
            transaction.set_rollback(True)
        text = "" if answer.streaming else answer.content.decode(errors="replace")
        assert answer.status_code != 500, text
        if user is None:
            assert answer.status_code == 401, text
        if not (answer.status_code in {401, 403, 404, 405} or "that you may use" in text):
            opened.add(person)
        if person not in SEES and SECRET not in f"{where} {body}":
            assert SECRET not in text, f"{person} was told: {text}"
    assert opened == ENDPOINTS[f"{method} {name}"]

"""What the schema allows, and what it does not, is answered as the schema says: never by a fault of the site.

Schemathesis makes the requests, the same in each run. What is allowed is asked of rows that are there.
``make test-api`` runs it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction

from accsite import blobs
from accsite.apps.access.models import ApiToken
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.services import create_dataset
from accsite.apps.datasets.tests.conftest import made
from tests.security.world import SECRET, World

pytestmark = [pytest.mark.api, pytest.mark.django_db, pytest.mark.timeout(3600)]

EXAMPLES = int(os.environ.get("ACC_API_EXAMPLES", "25"))
"""Requests to each operation, of those that the schema allows, and as many of the others."""


@pytest.fixture
def dataset(world: World) -> Dataset:
    """Return a dataset with a file behind it."""
    draft = blobs.scratch() / "draft.safetensors"
    made(6).save(draft)
    return create_dataset(actor=world.users["owner"], name="Some digits", dataset_path=draft, provenance={})


@pytest.fixture
def token(world: World) -> str:
    user = world.users["administrator"]
    assert isinstance(user, User)
    return ApiToken.objects.create(user=user, expiry=timedelta(days=1), name="fuzz", scope="write")[1]


@pytest.fixture
def site() -> Iterator[Any]:
    """Return the site as a web server calls it, but inside the test's transaction."""
    for signal in (request_started, request_finished):  # as Django's own test client does
        signal.disconnect(close_old_connections)
    yield get_wsgi_application()
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def schema(site: Any, token: str) -> Any:
    from schemathesis import openapi

    return openapi.from_wsgi("/api/v1/schema/", site, headers={"Authorization": f"Token {token}"})


def in_address(world: World, dataset: Dataset, path: str) -> dict[str, Any]:
    """Return the parameters of an address that name rows which are there."""
    things = world.things
    first, second = (*path.removeprefix("/api/v1/").split("/"), "")[:2]
    named = {
        "experiments": {"slug": SECRET},
        "studies": {"slug": SECRET},
        "datasets": {"slug": dataset.slug},
        "plugin-sources": {"sha256": world.source.pk},
        "plugin-files": {"path": "tasks/mine.py"},
        "recipes": {"id": things["recipe"].pk},
    }
    plugins = {
        "tasks": "ReconstructionTask",
        "generators": "HandwrittenDigits",
        "models": "Autoencoder",
        "methods": "BetaVAE",
        "metrics": "FactorVAEScore",
        "recipes": "Quickstart",
    }
    numbered = {
        "branches": "branch",
        "tasks": "task",
        "jobs": "job",
        "checkpoints": "checkpoint",
        "evaluations": "evaluation",
        "workers": "worker",
        "queue": "queue",
    }
    if first == "registry":
        return {"name": plugins[second]}
    if first in numbered:
        return {"id": things[numbered[first]].pk, "artifact": things["artifact"].pk}
    return named.get(first, {})


def in_body(world: World, dataset: Dataset) -> dict[str, Any]:
    """Return what fields are to hold, where they name rows that are there."""
    checkpoint = world.things["checkpoint"].pk
    return {
        "experiment": SECRET,
        "branch": world.things["branch"].pk,
        "dataset": dataset.slug,
        "a": dataset.slug,
        "b": dataset.slug,
        "checkpoint": checkpoint,
        "from_checkpoint": checkpoint,
        "checkpoints": [checkpoint, world.things["other"].pk],
        "task_class": "KLDivergenceTask",
        "generator": "HandwrittenDigits",
        "recipe": "Quickstart",
    }


def filled(given: Any, rows: dict[str, Any]) -> Any:
    """Return an object's fields with those of ``rows`` that it has; anything else as it is."""
    return {k: rows.get(k, v) for k, v in given.items()} if isinstance(given, dict) else given


def success_is_documented(_context: Any, response: Any, case: Any) -> None:
    """Refuse a success that the operation does not list: problems alone may come under ``default``."""
    listed = case.operation.definition.raw["responses"]
    if response.status_code < 400 and str(response.status_code) not in listed:
        raise AssertionError(f"{response.status_code} is not among {sorted(listed)}")


def test_every_operation_answers_as_the_schema_says(
    schema: Any, world: World, dataset: Dataset, token: str
) -> None:
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable
    from schemathesis import GenerationMode, checks

    wanted: list[Any] = [
        checks.not_a_server_error,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        success_is_documented,
    ]
    rows = in_body(world, dataset)
    faults: list[str] = []
    asked = 0

    def ask(case: Any) -> None:
        nonlocal asked
        asked += 1
        if case.meta.generation.mode is GenerationMode.POSITIVE:
            case.body, case.query = filled(case.body, rows), filled(case.query, rows)
        with transaction.atomic():
            answer = case.call(headers={"Authorization": f"Token {token}"})
            transaction.set_rollback(True)
        # A generator's worker, which no test has, may be away.
        case.validate_response(answer, checks=wanted[answer.status_code == 503 :])

    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in operations:
        known = in_address(world, dataset, operation.path)
        named = {each.name: known[each.name] for each in operation.path_parameters if each.name in known}
        for mode, where in ((GenerationMode.POSITIVE, named), (GenerationMode.NEGATIVE, {})):
            strategy = operation.as_strategy(generation_mode=mode, path_parameters=where or None)
            run = settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
                report_multiple_bugs=False,
            )(given(case=strategy)(ask))
            try:
                run()
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE, (
                    operation.label
                )  # it takes nothing that could be wrong
            except (BaseExceptionGroup, Exception) as error:
                faults.append(f"{operation.label} ({mode.value}): {error}"[:1500])
    assert not faults, "\n\n".join(faults)
    assert len(operations) > 80
    assert asked > len(operations)

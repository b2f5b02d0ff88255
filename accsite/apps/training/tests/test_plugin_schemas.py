"""The OpenAPI schema and the command line take the parameters that plugins declare."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import call_command, get_commands, load_command_class
from django.db import connections
from rest_framework.test import APIClient

from accsite.apps.datasets.models import Dataset
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows


@pytest.fixture
def rich(plugins: dict[str, Plugin]) -> Plugin:
    """A task class with limits, choices and help."""
    params = [
        rows.named("beta", 2.0, min=0, max=10, help="how strict", unit="nats"),
        rows.named("mode", "fast", choices=("fast", "exact"), help="100 % or not"),
        rows.named("weight", 1.0),
    ]
    return rows.make_plugin(PluginKind.TASK, "RichTask", label="Rich", params=params)


def test_each_class_is_a_schema_of_its_own_told_apart_by_its_name(user: Any, rich: Plugin) -> None:
    api = APIClient()
    api.force_authenticate(user)
    schemas = api.get("/api/v1/schema/", {"format": "json"}).json()["components"]["schemas"]
    assert schemas["RichTaskParams"]["properties"]["beta"] == {
        "type": "number",
        "default": 2.0,
        "minimum": 0,
        "maximum": 10,
        "description": "how strict (nats)",
    }
    assert schemas["RichTaskParams"]["properties"]["mode"]["enum"] == ["fast", "exact"]
    for request, field, name in (
        ("TaskRequestRequest", "task_class", "RichTask"),
        ("GenerateRequest", "generator", "HandwrittenDigits"),
        ("ModelSpec", "architecture", "FactorSlotAutoencoder"),
    ):
        assert schemas[request]["discriminator"]["propertyName"] == field
        target = schemas[request]["discriminator"]["mapping"][name].rpartition("/")[2]
        assert schemas[target]["properties"][field]["const"] == name
        assert schemas[target]["properties"]["params"] == {"$ref": f"#/components/schemas/{name}Params"}


def test_the_schema_without_any_plugin_is_whole(user: Any) -> None:
    api = APIClient()
    api.force_authenticate(user)
    schemas = api.get("/api/v1/schema/", {"format": "json"}).json()["components"]["schemas"]
    assert "params" in schemas["TaskRequestRequest"]["properties"]


@pytest.fixture
def open_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the test's connection: a command run from a shell closes all of them at its end."""
    monkeypatch.setattr(connections, "close_all", lambda: None)


def run(*words: str) -> None:
    """Run the command as a shell does, where the flags of a class are known before the words are read."""
    command: Any = load_command_class(get_commands()["tasks"], "tasks")
    command.run_from_argv(["manage.py", "tasks", *words])


@pytest.mark.usefixtures("open_connections")
def test_parameters_are_flags_with_help(branch: Branch, dataset: Dataset, rich: Plugin, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        run("add", "rich", "--help")
    told = " ".join(capsys.readouterr().out.split())
    assert "--beta VALUE how strict; 0 to 10 nats; default: 2.0" in told
    assert "100 % or not; fast | exact; default: fast" in told
    run(
        "add",
        "rich",
        "--experiment",
        "digits",
        "--dataset",
        dataset.slug,
        "--beta",
        "4.5",
        "--param",
        "weight=3",
    )
    assert branch.tasks.get().params == {"beta": 4.5, "mode": "fast", "weight": 3.0}
    assert branch.tasks.get().weight == 1.0, "a flag of the command itself keeps its meaning"


@pytest.mark.usefixtures("open_connections")
def test_a_flag_out_of_limits_is_refused_by_name(
    branch: Branch, dataset: Dataset, rich: Plugin, capsys: Any
) -> None:
    with pytest.raises(SystemExit) as ended:
        run("add", "--beta", "11", "RichTask", "--experiment", "digits", "--dataset", dataset.slug)
    assert ended.value.code == 2
    assert "error: params.beta: '11' is above the most allowed, 10" in capsys.readouterr().err
    assert not branch.tasks.exists()


def test_show_names_the_flags(rich: Plugin) -> None:
    out = io.StringIO()
    call_command("plugins", "show", "RichTask", stdout=out)
    assert "--beta" in out.getvalue()

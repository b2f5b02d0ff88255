"""``manage.py generate`` takes a generator's parameters as options, and refuses in words."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command
from django.db import connections

from accsite.apps.datasets.management.commands.generate import Command
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.tests.rows import make_plugin, named

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def open_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the test's connection: a command run from a shell closes all of them at its end."""
    monkeypatch.setattr(connections, "close_all", lambda: None)


@pytest.fixture(autouse=True)
def generator(db: None) -> Plugin:
    params = [
        named("size", 32, min=16, max=128, help="in pixels, 100 % of them"),
        named("mode", "soft", choices=("soft", "hard")),
        named("seed", 3),
    ]
    return make_plugin(PluginKind.GENERATOR, "HandwrittenDigits", label="Handwritten digits", params=params)


def from_shell(*words: str) -> int:
    """Run the command as a shell does and return its exit status."""
    try:
        Command().run_from_argv(["manage.py", "generate", *words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_parameters_are_options(capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "handwritten_digits",
        "--n",
        "50",
        "--seed",
        "7",
        "--size",
        "64",
        "--mode",
        "hard",
        "--name",
        "Mine",
    )
    assert from_shell(*words) == 0
    job = Job.objects.get()
    assert job.kind == JobKind.GENERATE
    assert job.spec["generator"] == "HandwrittenDigits"
    assert job.spec["params"] == {"size": 64, "mode": "hard", "seed": 3}
    assert (job.spec["n"], job.spec["seed"], job.spec["name"]) == (50, 7, "Mine")
    assert f"job {job.pk} queued: Generate Mine" in capsys.readouterr().out


def test_a_parameter_named_like_an_option_is_given_the_long_way() -> None:
    assert from_shell("HandwrittenDigits", "--seed", "7", "--param", "seed=9") == 0
    job = Job.objects.get()
    assert (job.spec["seed"], job.spec["params"]["seed"]) == (7, 9)


def test_help_shows_what_each_parameter_may_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert from_shell("handwritten-digits", "--help") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "in pixels, 100 % of them; 16 to 128; default: 32" in told
    assert "soft | hard; default: soft" in told


def test_all_that_is_wrong_is_told_with_status_2_and_queues_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert from_shell("HandwrittenDigits", "--n", "0", "--size", "8", "--param", "colour=red") == 2
    told = capsys.readouterr().err
    assert "error: n: '0' is below the least allowed, 1" in told
    assert "error: params.size: '8' is below the least allowed, 16" in told
    assert "error: params.colour: unknown parameter 'colour'; known: mode, seed, size" in told
    assert not Job.objects.exists()


def test_an_unknown_generator_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert from_shell("thickness") == 2
    assert "known: HandwrittenDigits" in capsys.readouterr().err


def test_it_is_called_from_python_as_well() -> None:
    out = io.StringIO()
    call_command("generate", "handwritten_digits", "--param", "size=16", "--json", stdout=out)
    assert json.loads(out.getvalue())["kind"] == "generate"

"""Every command of ACC keeps the same promises: help, JSON on stdout alone, and exit statuses that scripts can read."""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import CommandError
from django.db import connection

from accsite.apps.registry.models import PluginKind
from accsite.apps.training.models import Branch
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.one_database

PROMISED = """train evaluate generate import_dataset run_recipe fork expand plugins devices worker watch_plugins jobs
    export import replay prune backup restore doctor verify"""
OURS = {name for name, app in get_commands().items() if app.startswith("accsite")}
WITHOUT_JSON = {"up", "demo"}
"""They run until Ctrl-C and talk to a person; what they start can be asked by the others."""

# What can be asked of the world below, and how many objects come of it (None: at least one).
ASKED: dict[str, int | None] = {
    "train --experiment digits --steps 5": 1,
    "evaluate {checkpoint}": 1,
    "generate HandwrittenDigits": 1,
    "import_dataset {images} --name Mine": 1,
    "run_recipe quickstart": 1,
    "fork {checkpoint} side": 1,
    "expand {checkpoint} --where latent --amount 2 --branch grown": 1,
    "plugins list": None,
    "plugins list --kind task": None,
    "plugins show KLDivergenceTask": 1,
    "plugins show KLDivergenceTask --source": 1,
    "devices": 1,
    "devices drain w": 1,
    "jobs --all": 1,
    "jobs show {job}": 1,
    "jobs losses {job}": 0,
    "jobs stop {job}": 1,
    "tasks list --experiment digits": 1,
    "tasks weight reconstruction 2 --experiment digits": 1,
    "checkpoints list digits": 1,
    "checkpoints show {checkpoint}": 1,
    "checkpoints tag {checkpoint} best": 1,
    "recipes": 1,
    "recipes runs": 0,
    "datasets list": 1,
    "datasets show handwritten-digits": 1,
    "prune --dry-run": 1,
    "backup {folder}/backup.tar": 1,
    "doctor": None,
    "tokens make ada": 1,
    "tokens list": 0,
    "sign_in_link ada": 1,
    "find digits --kind experiment": 1,
}
REFUSED = {
    "train --experiment nowhere --steps 5": "'nowhere' is not an experiment",
    "train --experiment digits --steps none": "'none'",
    "evaluate 999": "999",
    "evaluate": "--checkpoint",
    "generate Nothing": "Nothing",
    "generate HandwrittenDigits --n x": "'x'",
    "import_dataset /nowhere/at/all.npz": "all.npz",
    "import_runs {folder}/nowhere": "holds no runs",
    "run_recipe nothing": "nothing",
    "run_recipe quickstart --param size": "'size' is not NAME=VALUE",
    "fork 999 side": "999",
    "expand {checkpoint} --where roof": "roof",
    "plugins show Nobody": "'Nobody' is not a known plugin",
    "plugins diff 999": "999",
    "devices drain": "name the worker",
    "devices drain nobody": "nobody",
    "jobs show 999": "there is no job 999",
    "jobs --limit 0": "list at least 1",
    "tasks list --experiment nowhere": "nowhere",
    "tasks weight nothing 1 --experiment digits": "'nothing'",
    "checkpoints show 999": "999",
    "checkpoints list nowhere": "'nowhere'",
    "recipes show 999": "999",
    "datasets show nowhere": "nowhere",
    "prune nowhere": "'nowhere'",
    "export 999 {folder}/x.zip": "999",
    "export {checkpoint} {folder}/no/x.zip": "no/x.zip",
    "import {images}": "images.npz",
    "replay 999": "999",
    "backup {folder}/no/all.tar": "there is no folder '{folder}/no' for 'all.tar'",
    "backup {images}": "is there already",
    "restore {folder}/all.tar": "'all.tar' is no backup of ACC",
    "doctor --user bob": "bob",
    "verify m9": "m9",
    "verify m2 --user bob": "bob",
    "tokens make bob": "bob",
    "tokens make ada --days 0": "0",
    "tokens revoke x": "'x'",
    "sign_in_link bob": "bob",
    "find digits --limit 0": "list 1 to 50",
    "train --experiment digits --steps 5 --user bob": "there is no active user 'bob'",
}


@pytest.fixture
def world(db: None, tmp_path: Path) -> dict[str, Any]:
    """Return what the commands are told of: a branch with a task, a job and a checkpoint, and a file of images."""
    user = User.objects.create_user("ada")
    rows.make_plugins()
    rows.make_plugin(PluginKind.RECIPE, "Quickstart")
    branch = rows.make_branch(user)
    rows.make_task(branch, rows.make_dataset())
    rows.make_worker("w")
    job = rows.make_job(branch)
    checkpoint = rows.make_checkpoint(branch, job)
    Branch.objects.filter(pk=branch.pk).update(head=checkpoint)
    images = tmp_path / "images.npz"
    np.savez(images, images=np.zeros((4, 8, 8), np.uint8), digit=np.arange(4))
    return {"checkpoint": checkpoint.pk, "job": job.pk, "images": images, "folder": tmp_path}


def ask(line: str, world: dict[str, Any], *more: str, out: io.StringIO | None = None) -> tuple[int, str, str]:
    """Return exit status, stdout and stderr of a command, run in this process."""
    out, err = out or io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out):
            call_command(*line.format(**world).split(), *more, stdout=out, stderr=err)
    except SystemExit as end:
        return int(str(end.code or 0)), out.getvalue(), err.getvalue()
    except CommandError as error:  # argparse's; from a shell Django prints it with the usage
        return 2, out.getvalue(), str(error)
    return 0, out.getvalue(), err.getvalue()


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and those of its verbs."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from parsers(each)


def test_every_command_that_is_promised_is_there():
    assert set(PROMISED.split()) <= OURS


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_command_says_what_it_does_and_what_its_options_are(name: str, db: None):
    command = load_command_class(get_commands()[name], name)
    parser = command.create_parser("manage.py", name)
    assert len(command.help.split()) > 4
    for each in parsers(parser):
        assert each.format_help()
        flags = [action for action in each._actions if action.option_strings]
        assert [action.dest for action in flags if not action.help] == []
        if each is not parser and name not in WITHOUT_JSON:
            assert "--json" in each._option_string_actions, f"{each.prog} takes no --json behind its verb"
    assert name in WITHOUT_JSON or "--json" in parser._option_string_actions


@pytest.mark.parametrize("line", ASKED)
def test_json_is_all_that_stands_on_stdout(line: str, world: dict[str, Any], monkeypatch: Any):
    if line.startswith("backup") and connection.vendor == "postgresql":
        pytest.skip("a backup begins a transaction of its own, which it cannot within a test's")
    monkeypatch.setattr("accsite.apps.operations.doctor.redis.Redis.ping", lambda _: True)
    status, out, err = ask(line, world, "--json")
    objects = [json.loads(text) for text in out.splitlines()]
    assert status in ({0, 1} if line == "doctor" else {0}), err
    assert all(isinstance(each, dict) for each in objects)
    wanted = ASKED[line]
    assert len(objects) == wanted if wanted is not None else objects


@pytest.mark.parametrize("line", REFUSED)
def test_bad_input_ends_with_status_2_and_a_sentence(line: str, world: dict[str, Any]):
    for more in ((), ("--json",)):
        status, out, err = ask(line, world, *more)
        assert (status, out) == (2, ""), err
        assert REFUSED[line].format(**world) in err
        assert "Traceback" not in err
    assert sorted(path.name for path in world["folder"].iterdir()) == ["images.npz"]


@pytest.mark.parametrize(
    "line", ["jobs --all", "devices", "plugins list", "datasets list", "checkpoints list digits"]
)
def test_tables_are_drawn_on_a_terminal_and_are_tabs_elsewhere(line: str, world: dict[str, Any]):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    _, plain, _ = ask(line, world)
    heading, *lines = plain.splitlines()
    assert "\x1b" not in plain
    assert lines
    assert {text.count("\t") for text in lines} == {heading.count("\t")}
    _, drawn, _ = ask(line, world, out=Terminal())
    assert "\t" not in drawn
    assert heading.split("\t")[0] in drawn


def test_a_database_that_is_not_migrated_is_told_in_a_sentence(tmp_path: Path):
    done = manage("jobs", home=tmp_path)
    assert done.returncode == 1
    assert "error: the database refuses" in done.stderr
    assert "manage.py doctor" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_and_a_watcher_refuse_what_they_do_not_know(tmp_path: Path):
    for words, told in (
        (("worker", "--queue", "nothing"), "'nothing' is refused"),
        (("watch_plugins", "x"), "x"),
    ):
        done = manage(*words, home=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr


def manage(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Return how a command ends on a database without tables."""
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=settings.ROOT,
        env={
            "PATH": "",
            "ACC_HOME": str(home),
            "DATABASE_URL": f"sqlite:///{home / 'empty.sqlite3'}",
            "DJANGO_SETTINGS_MODULE": "accsite.settings.embedded",
        },
        capture_output=True,
        text=True,
        check=False,
    )

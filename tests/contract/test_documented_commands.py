"""Every documented command runs in a process of its own, on a home as an earlier version left it under umask 022.

Such a process has opened no connection and read no page yet, which a command that is called within a test never is. One
process reads Django as manage.py does, and forks for each command: a start of Django for each would take minutes.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from django.core.management import get_commands, load_command_class

from acc.track.tests.stores import mlflow_store
from accsite import actions
from accsite import home as homes
from accsite.supervisor.redis import RedisServer
from tests.stack import ROOT, own_database

KEPT = ROOT / "tests" / "kept" / "0.2.0"
SERVER = """
import json, os, sys, traceback
import django
from django.core.management import execute_from_command_line

django.setup()
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        status = 0
        try:
            execute_from_command_line(["manage.py", *asked["words"]])
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

# In this order, on the kept installation: the line, its exit status, and what is said (on stdout, if that is 0).
# A status of None: 0 or 1, whether two things are alike.
LINES: list[tuple[str, int | None, str]] = [
    ("migrate", 0, "Running migrations"),
    ("watch_plugins --once --json", 0, ""),  # what differs from what was kept, which may be nothing
    ("createsuperuser --noinput --username eve --email eve@example.org", 0, "created"),
    ("collectstatic --noinput", 0, "static files copied"),
    ("help", 0, "backup"),
    ("doctor --json", 1, ""),  # no worker runs here
    ("doctor --user nobody", 2, "nobody"),
    ("plugins list", 0, "KLDivergenceTask"),
    ("plugins show KLDivergenceTask --source", 0, "class KLDivergenceTask"),
    ("plugins diff 1", None, ""),  # as `diff` itself: whether it has changed since
    ("plugins sync", 0, ""),
    ("plugins sources", 0, ""),
    ("plugins approve 0000 --user ada", 2, ""),
    ("plugins withdraw 0000 --user ada", 2, ""),
    ("datasets list", 0, "digits"),
    ("datasets show digits", 0, "64"),
    ("datasets rename digits Figures", 0, "digits"),
    ("datasets export digits {folder}/digits.npz", 0, "digits.npz"),
    ("import_dataset {folder}/images.npz --name Mine", 0, "mine"),
    ("datasets delete mine", 0, "mine"),
    ("datasets restore mine", 0, "mine"),
    ("generate HandwrittenDigits --n 32 --seed 7 --name More", 0, "More"),
    ("tasks list --experiment digits", 0, "reconstruction"),
    ("tasks add ReconstructionTask --experiment digits --dataset mine --name Again", 2, "mine"),
    (
        "tasks add KLDivergenceTask --experiment digits --branch side --dataset digits --name Again",
        0,
        "again: on",
    ),
    ("tasks weight again 0.5 --experiment digits --branch side", 0, "0.5"),
    ("tasks disable again --experiment digits --branch side", 0, "again"),
    ("tasks enable again --experiment digits --branch side", 0, "again"),
    ("tasks move again 0 --experiment digits --branch side", 0, "again"),
    ("tasks remove again --experiment digits --branch side", 0, "again"),
    ("tasks restore again --experiment digits --branch side", 0, "again"),
    ("train --experiment digits --branch main --steps 500", 0, "digits/main"),
    ("evaluate 1 --suite metrics,ufr", 0, ""),
    ("fork 1 other", 0, "other"),
    ("expand 1 --where latent --amount 2 --branch wider", 0, ""),
    ("replay 1", None, "checkpoint 1"),  # other bits on another make of processor than it was trained on
    ("run_recipe quickstart", 0, ""),
    ("recipes list", 0, "Quickstart"),
    ("recipes runs", 0, "1"),
    ("recipes show 1", 0, ""),
    ("recipes stop 1", 0, ""),
    ("recipes resume 1", 0, ""),
    ("jobs list --all", 0, "digits/main"),
    ("jobs show 2", 0, "done"),
    ("jobs losses 2", 0, "step"),
    ("jobs log 2", 0, ""),
    ("jobs follow 2", 0, ""),
    ("runs --filter state=done --columns lr,seconds --sort=-run", 0, "digits/main"),
    ("runs --group branch --columns step", 0, "digits/main"),
    ("runs --filter zebra=1", 2, "zebra"),
    ("branches repeat digits/main --seeds 6 --steps 20 --outcome digit/accuracy", 0, "planned"),
    ("branches sweep digits/main --seeds 2 --steps 20 --trials 3 --outcome digit/accuracy", 0, "planned"),
    ("study trials digits-main-sweep --more 2", 0, "planned"),
    ("study confirm digits-main-sweep", 2, "no trial has a value of all its seeds yet"),
    ("study list", 0, "digits-main"),
    ("study show digits-main", 0, "6"),
    ("study follow digits-main", 2, "is not started"),
    ("study run quickstart --seeds 2", 2, "seeds"),
    ("study export digits-main {folder}/study.html", 0, ""),
    ("study export digits-main {folder}/study --format latex", 0, "LaTeX"),
    ("study export digits-main {folder}/study.svg --part outcomes", 2, "nothing to draw yet"),
    ("study draw digits-main", 2, "no seed is done yet"),
    ("study copy digits-main --name again --other-seeds", 0, "again"),
    ("study rename again --name others", 0, "planned"),
    ("study visibility again --visibility private", 0, "planned"),
    ("study handover again --to nobody", 2, "there is no active user 'nobody'"),
    ("study remove again --with-experiments", 0, "is removed"),
    ("jobs pause 2", 2, "2"),
    ("jobs resume 2", 2, "2"),
    ("jobs stop 6", 0, "stopped"),
    ("jobs retry 2", 2, "only one that failed or was stopped is tried again"),
    ("jobs requeue 2", 2, "held by no worker"),
    ("devices list", 0, "worker-train"),
    ("devices drain worker-train", 2, "is offline"),
    ("devices resume worker-train", 2, "is offline"),
    ("devices retire worker-train", 0, "retired"),
    ("devices forget worker-recipe", 0, "worker-train"),
    ("experiments list", 0, "digits"),
    ("experiments create Fresh --dataset digits --architecture ConvVAE --latent-dim 8 --seed 3", 0, "fresh"),
    ("find digits", 0, "digits"),
    ("checkpoints list digits", 0, "final"),
    ("checkpoints show 1", 0, "digits"),
    ("checkpoints model 1", 1, "plugin watcher"),
    ("checkpoints tag 1 root", 0, "root"),
    ("checkpoints note 1 well", 0, ""),
    ("checkpoints star 1", 0, ""),
    ("checkpoints unstar 1", 0, ""),
    ("checkpoints load root other", 0, ""),
    ("checkpoints delete 2", 2, ""),
    ("checkpoints restore digits 1", 2, ""),
    ("export 1 {folder}/one.acc.zip --licence CC-BY-4.0", 0, "one.acc.zip"),
    ("import {folder}/one.acc.zip --name Taken", 0, ""),
    ("prune digits --dry-run", 0, ""),
    ("prune", 0, ""),
    ("tokens make ada --name notebook --scope write", 0, "acc_"),
    ("tokens list", 0, "notebook"),
    ("tokens revoke 1", 2, ""),
    ("sign_in_link ada", 0, "http"),
    ("verify --list", 0, ""),
    ("verify m2", 1, ""),  # no site runs here
    ("import_runs {folder}/mlruns", 0, "mine/first"),
    ("import_runs {folder}/mlruns", 0, "nothing new"),
    ("import_runs {folder}/nowhere", 2, "holds no runs"),
    ("backup {folder}/acc.tar", 0, "acc.tar"),
    ("restore {folder}/acc.tar", 2, "is not empty"),
    # The verbs that are actions: tests/contract/test_actions.py does them, on every face alike.
    *(
        (f"{actions.things_of(kind.on).in_manage} {kind.verb} --help", 0, kind.verb)
        for kind in actions.every()
    ),
]
AFRESH: list[tuple[str, int | None, str]] = [
    ("jobs", 1, "manage.py doctor"),
    ("doctor", 1, ""),
    ("migrate", 0, "Running migrations"),
    ("backup {folder}/none/acc.tar", 2, "no folder"),
    ("restore {folder}/acc.tar", 0, "rows"),
    ("jobs --all", 0, "digits/main"),
]
"""The same on a home that is not there yet."""
ELSEWHERE = {
    ("up", ""): "tests/faults/test_shutdown.py",
    ("demo", ""): "tests/demo/test_demo.py",
    ("worker", ""): "below",
}


@dataclass
class Machine:
    """A home with its database, and what runs commands on it."""

    home: Path
    folder: Path
    environment: dict[str, str]
    server: subprocess.Popen[str]

    def run(self, line: str) -> tuple[int, str, str]:
        """Return status, stdout and stderr of ``manage.py <line>`` in a process of its own."""
        out, err = self.folder / "out.txt", self.folder / "err.txt"
        words = line.format(folder=self.folder).split()
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps({"words": words, "out": str(out), "err": str(err)}) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline()), out.read_text(), err.read_text()


@contextmanager
def machine(folder: Path, redis_url: str, *, kept: bool) -> Iterator[Machine]:
    """Yield a machine whose home is the kept installation, or is not there yet, on the database that tests use."""
    home = folder / ("kept" if kept else "fresh")
    server = os.environ.get("DATABASE_URL", "")
    with ExitStack() as entered:
        url = entered.enter_context(own_database(server)) if server.startswith("postgres") else ""
        if kept:
            with tarfile.open(KEPT / "home.tar.xz") as archive:
                archive.extractall(home, filter="data")
            for path in (home, *home.rglob("*")):  # as umask 022 had it
                path.chmod(0o755 if path.is_dir() else 0o644)
            if url:
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute(lzma.decompress((KEPT / "database.sql.xz").read_bytes()))
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "accsite.settings.embedded",
            "DJANGO_SUPERUSER_PASSWORD": "long enough for a test",
            "ACC_HOME": str(home),
            "DATABASE_URL": url or f"sqlite:///{home / 'acc.sqlite3'}",
            "REDIS_URL": redis_url,
            "ACC_PUBLIC_URL": "http://127.0.0.1:1",
        }
        process = entered.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", SERVER],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                umask=0o022,
            )
        )
        entered.callback(process.kill)
        yield Machine(home, folder, environment, process)


def told(lines: list[tuple[str, int | None, str]], on: Machine) -> str:
    """Return what is not as it should be, for each line; nothing is missed after the first."""
    wrong = []
    for line, status, words in lines:
        ended, out, err = on.run(line)
        said = out if status == 0 else out + err
        right = ended in (0, 1) if status is None else ended == status
        if not right or words not in said or "Traceback" in out + err:
            wrong.append(
                f"$ manage.py {line}\n{out[-600:]}{err[-1500:]}\n-> {ended}, not {status} with {words!r}"
            )
    return "\n\n".join(wrong)


@pytest.mark.long(30)
@pytest.mark.timeout(600)
def test_no_documented_command_fails_and_what_they_leave_is_their_users_alone(
    tmp_path: Path, redis_server: RedisServer
):
    np.savez(tmp_path / "images.npz", images=np.zeros((4, 8, 8), np.uint8), digit=np.arange(4))
    mlflow_store(tmp_path, "0 1.0 0\n")
    with machine(tmp_path, redis_server.url, kept=True) as kept:
        wrong = told(LINES, kept)
    with machine(tmp_path, redis_server.url, kept=False) as fresh:
        wrong += told(AFRESH, fresh)
    assert not wrong, wrong
    for home in (kept.home, fresh.home):
        assert homes.open_to_others(home) == []
        assert (home / "secret_key").is_file()
        if os.geteuid() == 0:
            assert readable_to_another(home) == []
    assert (tmp_path / "acc.tar").stat().st_mode & 0o777 == 0o600


def readable_to_another(home: Path) -> list[str]:
    """Return what another user of this machine can read or list of a home, who may enter the folders above it."""
    paths = [str(path) for path in (home, *home.rglob("*"))]
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        found = []
        os.chdir(home.parent)  # pytest closes its own folders, which is not what is tried here
        os.setgroups([])
        os.setgid(65_534)
        os.setuid(65_534)
        for path in paths:
            near = os.path.relpath(path, home.parent)
            if os.access(near, os.R_OK) or os.access(near, os.X_OK):
                found.append(path)
        os.write(writer, json.dumps(found).encode()[:60_000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        found = json.loads(answer.read())
    os.waitpid(child, 0)
    return found


@pytest.mark.long(6)
def test_a_worker_serves_until_it_is_told_to_end(tmp_path: Path, redis_server: RedisServer):
    with machine(tmp_path, redis_server.url, kept=True) as kept, (tmp_path / "log").open("w+") as log:
        assert kept.run("migrate")[0] == 0
        words = ["manage.py", "worker", "--queue", "recipe", "--name", "one", "--json"]
        worker = subprocess.Popen([sys.executable, *words], cwd=ROOT, env=kept.environment, stderr=log)
        until = time.monotonic() + 90
        while "worker_serving" not in Path(log.name).read_text() and time.monotonic() < until:
            assert worker.poll() is None, Path(log.name).read_text()
            time.sleep(0.1)
        assert "worker_serving" in Path(log.name).read_text()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
        assert "Traceback" not in Path(log.name).read_text()


def verbs(parser: argparse.ArgumentParser) -> list[str]:
    """Return the verbs of a command; of one that has none, an empty one."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return [*action.choices]
        if not action.option_strings and action.choices and action.dest != "milestone":
            return [*map(str, action.choices)]
    return [""]


def test_every_command_is_tried():
    wanted: set[tuple[str, str]] = set()
    known: dict[str, list[str]] = {"help": [""]}
    for name, app in get_commands().items():
        known[name] = [""]
        if app.startswith("accsite"):
            known[name] = verbs(load_command_class(app, name).create_parser("manage.py", name))
            wanted |= {(name, verb) for verb in known[name]}
    pages: list[Any] = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for name in re.findall(r"manage\.py ([a-z_]+)", page.read_text()):
            assert name in known, f"{page}: there is no command {name!r}"
            wanted |= {(name, known[name][0])}
    tried = set(ELSEWHERE)
    for line, _, _ in LINES:
        name, _, rest = line.partition(" ")
        tried.add((name, rest.split()[0] if known[name] != [""] else ""))
    assert wanted - tried == set()

"""The fork server can be forked from, and what a job needs works in the fork."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workers.fork.client import ONE_THREAD

pytestmark = pytest.mark.one_database

ROOT = Path(__file__).resolve().parents[2]


SERVER = """
import json, os, sys, traceback
from workers import zygote

zygote.preload()
for line in sys.stdin:
    asked = json.loads(line)
    zygote.require_forkable()
    child = os.fork()
    if not child:
        status = 1
        try:
            for number, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            exec(asked["body"], {"zygote": zygote})
            status = 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Forks for each body, as a zygote does: to preload takes seconds."""
Run = Callable[[str], str]


@pytest.fixture(scope="module")
def in_a_zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Return what runs a body in a fork of a process that has preloaded what a zygote does: what it printed."""
    folder = tmp_path_factory.mktemp("zygote")
    environment = {"ACC_HOME": str(folder), "DJANGO_SETTINGS_MODULE": "accsite.settings.embedded"}
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    asks, answers = server.stdin, server.stdout

    def run(body: str) -> str:
        out, err = folder / "out.txt", folder / "err.txt"
        asked = {"body": textwrap.dedent(body), "out": str(out), "err": str(err)}
        asks.write(json.dumps(asked) + "\n")
        asks.flush()
        status = answers.readline().strip()
        assert status == "0", err.read_text() if err.exists() else "it was never run"
        return out.read_text()

    yield run
    server.kill()
    server.communicate()


def test_autograd_openmp_and_safetensors_work_in_one_fork_after_another(in_a_zygote):
    out = in_a_zygote(
        """
        import os, sys, torch
        from safetensors.torch import load, save
        for number in range(3):
            pid = os.fork()
            if pid == 0:
                torch.set_num_threads(2)
                torch.manual_seed(0)
                layers = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.Flatten(), torch.nn.Linear(7200, 10))
                optimizer = torch.optim.AdamW(layers.parameters(), fused=True)
                for _ in range(3):
                    optimizer.zero_grad()
                    layers(torch.randn(64, 1, 32, 32)).square().mean().backward()
                    optimizer.step()
                product = torch.randn(600, 600) @ torch.randn(600, 600)  # large enough for every thread
                back = load(save({"a": product}))["a"]
                assert torch.equal(back, product) and torch.get_num_threads() == 2
                print(number, float(layers[0].weight.sum()), float(product.sum()), flush=True)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            zygote.require_forkable()
        """
    )
    lines = [line.split()[1:] for line in out.splitlines()]
    assert len(lines) == 3
    assert lines[0] == lines[1] == lines[2], "every fork begins with the same state"


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("threads", "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"),
        ("database", "from django.db import connection; connection.ensure_connection()"),
    ],
)
def test_a_zygote_that_holds_what_a_fork_would_break_says_so(in_a_zygote, what, body):
    out = in_a_zygote(
        f"{body}\n"
        "try:\n"
        "    zygote.require_forkable()\n"
        "except zygote.NotForkable as error:\n"
        "    print(error)\n"
    )
    assert what in out


def test_a_job_imports_nothing_that_the_zygote_could_have_imported_for_it(in_a_zygote):
    out = in_a_zygote(
        """
        import sys
        from acc.specs import TrainJobSpec
        missing = [name for name in ("torch._dynamo", "acc.training.trainer", "workers.runner", "redis.asyncio")
                   if name not in sys.modules]
        print(missing)
        """
    )
    assert out.strip() == "[]"


def test_a_starter_imports_no_page_and_no_address(tmp_path):
    code = "import sys; from workers import starter; starter.preload(); print('accsite.urls' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "ACC_HOME": str(tmp_path), "DJANGO_SETTINGS_MODULE": "accsite.settings.embedded"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False"]


def test_what_a_job_sends_draws_nothing_of_what_its_plugins_draw(in_a_zygote):
    out = in_a_zygote(
        """
        import random
        from channels_redis.serializers import registry
        from redis.backoff import ExponentialWithJitterBackoff
        random.seed(7)
        before = random.getstate()
        sent = registry.get_serializer("msgpack", random_prefix_length=12).serialize({"a": 1})
        paused = ExponentialWithJitterBackoff().compute(1)
        print(len(sent) > 12, paused > 0, random.getstate() == before)
        """
    )
    assert out.split() == ["True", "True", "True"]


def test_the_end_of_a_job_is_told_once_its_records_are_kept_or_were_given_time(tmp_path):
    code = """
        import os, signal, time
        from workers import zygote
        from workers.fork.channel import Channel
        ours, theirs = Channel.pair()

        def train(request, pipe):
            pipe.send({"say": "end"})
            os.kill(os.getpid(), signal.SIGKILL)

        def keep(request, pipe):
            while pipe.receive() is not None:
                pass
            time.sleep(0.5 if request["work"] == [1, 0] else 60)
            return 0

        zygote._work, zygote._keep_records = train, keep
        zygote.require_forkable = lambda: None  # it has not preloaded anything
        if os.fork() == 0:
            ours.close()
            zygote.Zygote(theirs).serve()
            os._exit(0)
        theirs.close()
        for work in ([1, 0], [2, 0]):
            ours.send({"work": work, "worker": "w", "device": "cpu", "records": True})
            began = time.monotonic()
            while True:
                said = ours.receive()
                print("told", said["work"][0], said["event"], said.get("status", ""), flush=True)
                if said["event"] == "ended":
                    break
            waited = time.monotonic() - began
            print("told", "in time", (0.5 if work == [1, 0] else 1.5) <= waited < 20)
        ours.shut()
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        env={
            **os.environ,
            **ONE_THREAD,
            "ACC_HOME": str(tmp_path),
            "ACC_LEASE_SECONDS": "1",
            "DJANGO_SETTINGS_MODULE": "accsite.settings.embedded",
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("told")] == [
        ["1", "started"],
        ["1", "work_closed"],
        ["1", "records_closed"],
        ["1", "ended", "-9"],
        ["in", "time", "True"],
        ["2", "started"],
        ["2", "work_closed"],
        ["2", "records_closed"],
        ["2", "ended", "-9"],
        ["in", "time", "True"],
    ]

"""The demo runs for real: once to its end, and over a Ctrl-C that must lose nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accsite.supervisor.redis import free_port

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
MANAGE = [sys.executable, str(ROOT / "manage.py")]


def environment(home: Path) -> dict[str, str]:
    """Return what a user's shell would have: neither the suite's settings nor its Redis."""
    suite = {"DJANGO_SETTINGS_MODULE", "REDIS_URL", "DATABASE_URL"}
    return {**{k: v for k, v in os.environ.items() if k not in suite}, "ACC_HOME": str(home)}


class Demo:
    """A `manage.py demo` in its own session, its output in a file."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home = home
        self.log = home.parent / f"demo-{time.monotonic_ns()}.log"
        command = [*MANAGE, "demo", "--port", str(free_port()), "--device", "cpu", *arguments]
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                command, env=environment(home), stdout=out, stderr=out, start_new_session=True
            )

    @property
    def output(self) -> str:
        return self.log.read_text()

    def wait_for(self, condition: Callable[[], object], seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < until, self.output
            time.sleep(0.1)

    def stop(self) -> int:
        """Press Ctrl-C and return the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(90)

    def row(self, query: str) -> Any:
        with sqlite3.connect(f"file:{self.home / 'acc.sqlite3'}?mode=ro", uri=True) as connection:
            return connection.execute(query).fetchone()


@pytest.fixture
def start(tmp_path):
    started: list[Demo] = []

    def starter(*arguments: str) -> Demo:
        demo = Demo(tmp_path / "home", *arguments)
        started.append(demo)
        return demo

    yield starter
    for demo in started:
        if demo.process.poll() is None:
            demo.process.kill()
            demo.process.wait()


def train_job(demo: Demo) -> Any:
    """Return id, state, step, attempt of the train job."""
    return demo.row("SELECT id, state, step, attempt FROM jobs_job WHERE kind = 'train'")


def assert_refused_while(demo: Demo, second: Demo) -> None:
    assert second.process.wait(60) == 1
    holder = json.loads((demo.home / "run/supervisor.lock").read_text())
    assert holder["pid"] == demo.process.pid
    assert f"already runs as process {demo.process.pid} at {holder['url']}" in second.output


def assert_summary(output: str, steps: int) -> None:
    """Steps, rate, a loss for each task, and files that are there."""
    assert re.search(rf"steps +{steps} of {steps}", output), output
    assert re.search(r"steps/s +\d", output), output
    assert len(re.findall(r"^  loss  ", output, re.MULTILINE)) == 3, output
    for metric in re.findall(r"^  metric +(.+?): ", output, re.MULTILINE):
        assert re.fullmatch(
            r"\w+ of (task \S+|the whole latent|group \S+|\S+ in (group \S+|no group)) on \S+", metric
        )
    for word, suffix in (("checkpoint", ".safetensors"), ("reconstructions", ".png")):
        found = re.search(rf"^  {word} +(/\S+)$", output, re.MULTILINE)
        assert found, output
        assert found.group(1).endswith(suffix)
        assert Path(found.group(1)).stat().st_size > 0


def assert_quiet(demo: Demo) -> None:
    """A line for each stage, then the few that matter, the link last; what the processes log lies in a file."""
    lines = demo.output.splitlines()
    stages = [line for line in lines if line.startswith("  ✓ ")]
    assert len(stages) >= 5, demo.output
    assert len(lines) < len(stages) + 10, demo.output
    assert "/sign-in/link/" in [line for line in lines if line.strip()][-1]
    assert "worker-train | " not in demo.output
    assert "worker-train | " in (demo.home / "logs" / "platform.log").read_text()


@pytest.mark.long(60)
def test_ctrl_c_saves_the_job_the_next_run_ends_it_and_a_third_finds_everything(start):
    demo = start("--steps", "900")
    demo.wait_for(lambda: "/sign-in/link/" in demo.output)
    assert re.search(r"Administrator: admin, password: \S{12,}", demo.output)
    assert_quiet(demo)
    demo.wait_for(lambda: train_job(demo)[1] == "RUNNING" and train_job(demo)[2] > 20)
    assert_refused_while(demo, start())
    assert demo.stop() == 0, demo.output
    number, state, step, attempt = train_job(demo)
    assert (state, attempt) == ("QUEUED", 1), demo.output
    assert 20 < step < 900
    assert demo.row(f"SELECT max(job_step) FROM training_checkpoint WHERE job_id = {number}") == (step,)

    again = start("--once", "--steps", "900")
    assert again.process.wait(240) == 0, again.output
    assert "password:" not in again.output
    assert_summary(again.output, 900)
    assert train_job(again) == (number, "SUCCEEDED", 900, 2)

    third = start("--once", "--steps", "900")
    assert third.process.wait(120) == 0, third.output
    assert_summary(third.output, 900)
    assert third.row("SELECT count(*) FROM jobs_job WHERE kind = 'train'") == (1,)
    assert third.row("SELECT count(*) FROM datasets_dataset") == (1,)


def test_an_address_that_others_can_reach_is_refused(start):
    demo = start("--host", "0.0.0.0")
    assert demo.process.wait(60) == 1
    assert "'0.0.0.0' can be reached from other machines" in demo.output

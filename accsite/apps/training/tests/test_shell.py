"""From a shell a job is submitted, followed and stopped, with exit statuses that scripts can read."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import pytest
from django.conf import settings
from django.db import connection

from acc.training.protocols import CommandResult, PointBlock
from accsite.apps.jobs.models import Job, OutboxMessage
from accsite.apps.jobs.services import lifecycle
from accsite.apps.jobs.states import JobState
from accsite.apps.training.models import Branch
from accsite.apps.training.services import events, points
from accsite.apps.training.tests import rows
from accsite.tests.shell import shell

pytestmark = pytest.mark.one_database


def test_training_is_queued(branch: Branch, task: Any) -> None:
    status, out, _ = shell("train", "--experiment", "digits", "--steps", "50", "--lr", "0.01")
    job = Job.objects.get()
    assert (status, out) == (
        0,
        f"job {job.pk} queued: Train digits/main for 50 steps; `manage.py jobs follow {job.pk}` shows it\n",
    )
    assert (job.spec["train"]["steps"], job.spec["train"]["lr"], job.created_by) == (50, 0.01, None)


def test_training_is_queued_in_the_name_of_a_user(user: Any, branch: Branch, task: Any) -> None:
    status, out, _ = shell("train", "--experiment", "digits", "--steps", "5", "--user", "ada", "--json")
    assert (status, json.loads(out)["state"]) == (0, "QUEUED")
    assert Job.objects.get().created_by == user


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--steps", "0"], "error: steps: '0' is refused: the least allowed is 1\n"),
        ([], "error: steps: a value is needed here; none was given\n"),
        (
            ["--steps", "5", "--branch", "dev"],
            "error: branch: 'dev' is not a branch of digits; known: main\n",
        ),
        (
            ["--steps", "5", "--experiment", "x"],
            "error: experiment: 'x' is not an experiment; known: digits\n",
        ),
        (
            ["--steps", "5", "--device", "cuda:3"],
            "error: device: 'cuda:3' is offered by no worker that is online; choose one of: auto, cpu\n",
        ),
        (["--steps", "5", "--user", "bob"], "error: user: there is no active user 'bob'; users are: ada\n"),
    ],
)
def test_bad_input_is_told_with_status_2(branch: Branch, task: Any, words: list[str], told: str) -> None:
    assert shell("train", "--experiment", "digits", *words) == (2, "", told)
    assert not Job.objects.exists()
    assert not OutboxMessage.objects.exists()


def test_previews_are_listed_only_when_asked_for_and_the_list_says_so(page: Any, branch: Branch) -> None:
    rows.make_job(branch, title="Train digits/main", state=JobState.SUCCEEDED)
    for _ in range(3):
        rows.make_job(
            branch, kind="evaluate", title="Preview digits/main", preview=True, state=JobState.SUCCEEDED
        )
    status, out, err = shell("jobs", "--all")
    assert (status, out.count("Preview"), out.count("Train")) == (0, 0, 1)
    assert err == "previews of running trainings not shown: 3; --previews lists them too\n"
    status, out, err = shell("jobs", "--all", "--previews")
    assert (out.count("Preview"), err) == (3, "")
    status, out, _ = shell("jobs", "--all", "--json")
    assert [json.loads(line)["title"] for line in out.splitlines()] == ["Train digits/main"]

    listed = page.get("/jobs/").content.decode()
    assert "Previews of running trainings are not listed: 3." in listed
    assert "Preview digits/main" not in listed
    asked = page.get("/jobs/?previews=1").content.decode()
    assert asked.count("Preview digits/main") == 3
    assert "are not listed" not in asked


def test_jobs_are_listed_shown_and_steered(branch: Branch) -> None:
    assert shell("jobs") == (0, "no job is waiting or running; --all lists the others\n", "")
    job = rows.make_job(branch, state=JobState.RUNNING, attempt=1, total_steps=10)
    points.append(job.pk, 1, PointBlock(0, ("raw/digit",), np.array([[0.5]], np.float32), 0.0, 1.0))
    assert "running" in shell("jobs")[1]
    status, out, _ = shell("jobs", "pause", str(job.pk))
    assert (status, [command.kind for command in events.pending_commands(job.pk)]) == (0, ["pause"])
    assert "asked to         pause" in out
    assert "loss             digit 0.5" in out
    assert json.loads(shell("jobs", "show", str(job.pk), "--json")[1])["losses"] == {"digit": 0.5}
    Job.objects.update(state=JobState.SUCCEEDED)
    assert shell("jobs", "stop", str(job.pk)) == (
        2,
        "",
        f"error: kind: 'stop' came too late: job {job.pk} is done\n",
    )
    assert "done" in shell("jobs", "--all")[1]
    assert shell("jobs", "show", "99") == (
        2,
        "",
        f"error: job: there is no job 99; the newest are: {job.pk}\n",
    )
    assert shell("jobs", "stop")[0] == 2


class Hand:
    """Does what a worker does to a job, on a thread of its own: claim, start, points, and the end."""

    def __init__(self, end: Callable[[int], Any], steps: int = 6) -> None:
        self.end, self.steps = end, steps
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        try:
            deadline = time.monotonic() + 30
            while not Job.objects.active().exists():
                assert time.monotonic() < deadline, "no job came"
                time.sleep(0.05)
            pk = Job.objects.active().get().pk
            lifecycle.claim(pk, "cpu-0")
            lifecycle.start(pk, 1)
            for step in range(self.steps):
                value = np.full((1, 1), 1 / (step + 1), np.float32)
                points.append(
                    pk, 1, PointBlock(step, ("raw/reconstruction",), value, float(step), float(step))
                )
                time.sleep(0.1)
                for command in events.pending_commands(pk):
                    events.record_command_result(pk, 1, CommandResult(command, step, ok=True))
                    if command.kind == "stop":
                        lifecycle.cancelled(pk, 1)
                        return
            self.end(pk)
        except BaseException as error:
            self.error = error
        finally:
            connection.close()

    def __enter__(self) -> Hand:
        self.thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.thread.join()
        assert self.error is None, self.error


@pytest.fixture
def bench(transactional_db: None) -> Branch:
    """A branch with a task and a worker, in rows that other threads and processes see."""
    rows.make_plugins()
    branch = rows.make_branch(None)
    rows.make_task(branch, rows.make_dataset())
    rows.make_worker("cpu-0")
    return branch


TRAIN = ("train", "--experiment", "digits", "--steps", "6", "--follow")


def test_following_without_a_terminal_prints_plain_lines_and_succeeds(bench: Branch) -> None:
    with Hand(lambda pk: lifecycle.finish(pk, 1)):
        status, out, _ = shell(*TRAIN)
    assert status == 0
    lines = out.splitlines()
    assert any("running" in line and "step" in line for line in lines)
    assert lines[-1].startswith(f"job {Job.objects.get().pk} done at step 6 of 6 after ")
    assert "\x1b" not in out


def test_following_a_job_that_fails_says_why_with_status_1(bench: Branch) -> None:
    with Hand(lambda pk: lifecycle.fail(pk, 1, "raw/digit is not a number at step 5")):
        status, out, _ = shell(*TRAIN)
    assert status == 1
    assert out.splitlines()[-1].endswith(": raw/digit is not a number at step 5")


def test_following_as_json_is_one_object_a_line(bench: Branch) -> None:
    with Hand(lambda pk: lifecycle.finish(pk, 1)):
        status, out, _ = shell(*TRAIN, "--json")
    states = [json.loads(line) for line in out.splitlines()]
    assert (status, states[-1]["state"], states[-1]["losses"]) == (
        0,
        "SUCCEEDED",
        {"Reconstruction": pytest.approx(1 / 6)},
    )


def interrupt_once_running() -> threading.Thread:
    def run() -> None:
        while not Job.objects.filter(step__gte=2).exists():
            time.sleep(0.02)
        connection.close()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_an_interrupt_detaches_and_the_job_goes_on(bench: Branch) -> None:
    with Hand(lambda pk: lifecycle.finish(pk, 1)):
        thread = interrupt_once_running()
        status, out, _ = shell(*TRAIN)
        thread.join()
    job = Job.objects.exclude(kind="evaluate").get()
    assert status == 130
    assert f"detached; job {job.pk} goes on" in out
    assert (job.state, job.events.filter(kind="stop").count()) == (JobState.SUCCEEDED, 0)


def test_an_interrupt_stops_the_job_if_that_was_asked_for(bench: Branch) -> None:
    with Hand(lambda pk: lifecycle.finish(pk, 1), steps=50):
        thread = interrupt_once_running()
        status, out, _ = shell(
            "train", "--experiment", "digits", "--steps", "50", "--follow", "--stop-on-interrupt"
        )
        thread.join()
    job = Job.objects.get()
    assert (status, job.state) == (1, JobState.CANCELLED)
    assert "at its next step" in out
    assert out.splitlines()[-1].startswith(f"job {job.pk} stopped at step ")


def test_a_job_that_is_tried_again_is_followed_and_stopped_alike(bench: Branch) -> None:
    shell("train", "--experiment", "digits", "--steps", "50")
    Job.objects.update(state=JobState.FAILED)
    failed = Job.objects.get()
    with Hand(lambda pk: lifecycle.finish(pk, 1), steps=50):
        thread = interrupt_once_running()
        status, out, _ = shell("jobs", "retry", str(failed.pk), "--follow", "--stop-on-interrupt")
        thread.join()
    job = Job.objects.exclude(pk=failed.pk).get()
    assert (status, job.state) == (1, JobState.CANCELLED)
    assert out.splitlines()[-1].startswith(f"job {job.pk} stopped at step ")


def test_on_a_terminal_a_bar_shows_steps_and_losses(bench: Branch) -> None:
    name = connection.settings_dict["NAME"]
    parts = urlsplit(os.environ.get("DATABASE_URL", "sqlite:///"))
    url = (
        f"sqlite:///{name}" if connection.vendor == "sqlite" else urlunsplit(parts._replace(path=f"/{name}"))
    )
    leader, follower = pty.openpty()
    env = {**os.environ, "DATABASE_URL": url, "TERM": "xterm", "COLUMNS": "200", "LINES": "40"}
    with Hand(lambda pk: lifecycle.finish(pk, 1), steps=15):
        process = subprocess.Popen(
            [sys.executable, "manage.py", "train", "--experiment", "digits", "--steps", "15", "--follow"],
            stdout=follower,
            stderr=follower,
            stdin=follower,
            env=env,
            cwd=settings.ROOT,
        )
        os.close(follower)
        seen = b""
        while select.select([leader], [], [], 60)[0]:
            try:
                seen += os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
        status = process.wait(30)
    os.close(leader)
    text = seen.decode()
    assert status == 0, text
    assert "━" in text
    assert "15/15" in text
    assert "Reconstruction 0.0" in text

"""Loops of one's own, in processes of their own, against a real site: what they tell is there, and once."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from acc import track
from acc.errors import InvalidInput
from acc.track import file as files
from acc.track.__main__ import main
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import lifecycle
from accsite.apps.training.models import Checkpoint, Experiment, TrackedRun
from accsite.apps.training.selectors import loss_history

LOOP = """
import itertools, sys, time
from acc import track
run = track.run(sys.argv[1], folder=sys.argv[2], id=sys.argv[3], config={"lr": 0.1})
print("began", flush=True)
for step in itertools.count():
    run.log({"loss": 1 / (step + 1), "kl": float(step)}, step)
    time.sleep(0.002)
"""


@pytest.fixture
def here(site_url, token, monkeypatch, tmp_path):
    """Let this process, and what it starts, track to the site; return the folder of its runs."""
    monkeypatch.setenv("ACC_URL", site_url)
    monkeypatch.setenv("ACC_TOKEN", token)
    monkeypatch.setenv("ACC_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def values(job: Job, name: str) -> dict[int, float]:
    """Return step -> value of a series of a job, of the steps that have one."""
    header, columns = loss_history(job)
    row = columns[header["series"].index(name)]
    return {header["start"] + int(at): float(row[at]) for at in np.flatnonzero(~np.isnan(row))}


def loop(branch: str, folder: Path, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LOOP, branch, str(folder), name]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n", process.communicate()
    return process


def until(condition, seconds: float = 20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come about")


def test_a_run_makes_its_branch_and_ends_as_a_job_with_all_its_points(here, ada):
    with track.run("Own loop/mine", config={"lr": 0.1, "depth": {"a": [1, 2]}}, steps=300) as run:
        for step in range(300):
            run.log({"loss": 1 / (step + 1), "kl": step}, step)
    job = Job.objects.get()
    assert (job.kind, job.state, job.step, job.total_steps) == ("track", "SUCCEEDED", 300, 300)
    assert job.branch is not None
    assert job.branch.experiment.owner == ada
    assert (job.branch.experiment.name, job.branch.experiment.slug, str(job.branch)) == (
        "Own loop",
        "own-loop",
        "own-loop/mine",
    )
    assert job.spec["config"] == {"lr": 0.1, "depth": {"a": [1, 2]}}
    assert values(job, "raw/kl") == {step: float(step) for step in range(300)}
    assert values(job, "total") == values(job, "raw/loss")
    assert track.sync()[0].anything is False


def test_a_run_without_a_site_is_sent_later_and_twice_does_nothing(here, ada, capsys):
    with track.run("own/late", offline=True) as run:
        run.log({"loss": 0.5}, 10)
        run.log({"loss": 0.25}, 1_000_000)
    assert not Job.objects.exists()
    assert main(["sync"]) == 0
    job = Job.objects.get()
    first = values(job, "raw/loss") if job.step < 2000 else None
    assert first is None
    assert job.state == "SUCCEEDED"
    assert "own/late, job" in (out := capsys.readouterr().out)
    assert "sent 2 points" in out
    assert main(["sync", str(run.path)]) == 0
    assert "nothing new" in capsys.readouterr().out
    assert Job.objects.count() == TrackedRun.objects.count() == 1


def test_steps_may_come_again_in_any_order_and_the_last_value_counts(here, ada):
    with track.run("own/orders") as run:
        for step, loss in [(5, 1.0), (3, 2.0), (5, 3.0), (1029, 4.0), (4, math.inf), (600, 5.0)]:
            run.log({"loss": loss}, step)
            time.sleep(0.15)  # blocks of their own
        run.log({"acc": 0.5}, 5)
        run.log({"loss": math.nan}, 3)
    job = Job.objects.get()
    assert values(job, "raw/loss") == {5: 3.0, 1029: 4.0, 4: math.inf, 600: 5.0}
    assert values(job, "raw/acc") == {5: 0.5}
    assert [event.step for event in job.events.filter(kind="alarm")] == [4]


def test_a_loop_that_raises_ends_failed_and_says_why(here, ada):
    with pytest.raises(ZeroDivisionError), track.run("own/broken") as run:
        run.log({"loss": 1.0})
        1 / 0  # noqa: B018
    job = Job.objects.get()
    assert (job.state, job.message) == ("FAILED", "ZeroDivisionError: division by zero")
    assert "1 / 0" in job.traceback


def test_after_a_kill_no_closed_block_is_lost_and_the_run_is_lost_within_its_lease(here, ada, settings):
    process = loop("own/killed", here, "k")
    job = until(lambda: Job.objects.filter(step__gt=100).first())
    assert job.state == "RUNNING"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    told = sum(
        record.header["count"] for record in files.records(here / "k.accrun") if record.says == "points"
    )
    assert lifecycle.reap() == []  # its lease has not ended
    Job.objects.update(lease_expires_at="2000-01-01T00:00Z")
    assert lifecycle.reap() == [job.pk]
    job.refresh_from_db()
    assert (job.state, job.is_active) == ("LOST", False)
    assert "its loop did not report for more than" in job.message
    assert main(["sync"]) == 0
    job.refresh_from_db()
    assert (job.state, job.step) == ("LOST", told)
    assert values(job, "raw/kl") == {step: float(step) for step in range(told)}
    with track.run("own/killed", id="k") as run:  # and its loop may go on with it
        run.log({"loss": 0.0, "kl": -1.0})
    job.refresh_from_db()
    assert (job.state, job.step) == ("SUCCEEDED", told + 1)
    assert values(job, "raw/kl")[told] == -1.0


def test_two_processes_that_write_one_run_are_told_so(here, ada):
    process = loop("own/twice", here, "one")
    with pytest.raises(InvalidInput, match="run 'one' is being written by another process"):
        track.run("own/twice", id="one")
    process.kill()
    process.communicate()


def test_a_server_that_is_away_is_waited_for_without_a_loss(site_url, token, ada, tmp_path, monkeypatch):
    from acc.track import sender

    monkeypatch.setattr(sender, "BACKOFF_SECONDS", (0.1, 0.2))
    with track.run("own/away", site="http://127.0.0.1:9", token=token, folder=tmp_path) as run:
        started = time.perf_counter()
        for step in range(1000):
            run.log({"loss": float(step)}, step)
        assert time.perf_counter() - started < 1
    assert track.sync([tmp_path], site=site_url, token=token)[0].state == "SUCCEEDED"
    assert values(Job.objects.get(), "raw/loss") == {step: float(step) for step in range(1000)}


def test_somebody_else_cannot_write_to_the_run(here, ada):
    from django.contrib.auth.models import User

    from accsite.apps.access.tokens import make_token

    with track.run("own/hers", offline=True) as run:
        run.log({"loss": 1.0}, 0)
    track.sync()
    Experiment.objects.update(visibility="private")
    eve = make_token(user=User.objects.create_user("eve"), name="t", scope="write")[1]
    told = track.sync([run.path], token=eve)[0]
    assert "you may not change it" in told.fault
    reads = make_token(user=ada, name="t", scope="read")[1]
    assert "403" in track.sync([run.path], token=reads)[0].fault


def test_weights_of_a_module_that_is_no_plugin_are_shown_alone(here, ada):
    import torch

    with track.run("own/net") as run:
        run.log({"loss": 0.5}, 9)
        path = run.save(torch.nn.Linear(3, 2))
    checkpoint = Checkpoint.objects.get()
    assert (checkpoint.step, checkpoint.losses) == (10, {"raw/loss": 0.5, "total": 0.5})
    assert checkpoint.note.startswith("weights alone, of Linear, which is no model plugin of this site")
    assert checkpoint.branch.head == checkpoint
    assert path.stat().st_size == checkpoint.size_bytes

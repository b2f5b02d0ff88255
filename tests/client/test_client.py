"""The Python client against a real site: rows, jobs that are made once, and a job that is followed without gaps."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from acc import wire
from acc.client import ApiError, Client, Points, State, Unreachable
from acc.training.protocols import PointBlock
from accsite.apps.access.models import ApiToken
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.services import lifecycle, logs
from accsite.apps.live import frames
from accsite.apps.runs.services import write
from accsite.apps.training.services import points
from accsite.apps.training.tests import rows
from accsite.supervisor.redis import free_port

DOCS = Path(__file__).resolve().parents[2] / "docs" / "client.md"


def queued(client, ada):
    """Return a queued train job of the branch digits/main, made by the client."""
    rows.make_plugins()
    branch = rows.make_branch(ada)
    client.tasks.create(branch.pk, "ReconstructionTask", rows.make_dataset().slug, weight=2)
    return client.jobs.train(branch.pk, steps=40)["id"]


def work(job_id: int, *, lost: tuple[int, ...] = (), pause: float = 0.05) -> None:
    """Do a job as a worker would, in blocks of 10 steps; frames of ``lost`` blocks never reach the site."""
    worker = rows.make_worker("w")
    claim = lifecycle.claim(job_id, worker)
    assert claim is not None
    assert lifecycle.start(job_id, claim.attempt)
    for start in range(0, 40, 10):
        values = np.arange(start, start + 10, dtype=np.float32)[None]
        header = points.append(
            job_id, claim.attempt, PointBlock(start, ("total",), values, 1000.0 + start, 1009.0 + start)
        )
        if start not in lost:
            frames.publish(job_id, wire.encode(header, values))
        time.sleep(pause)
    frames.flush()
    assert lifecycle.finish(job_id, claim.attempt)


def test_rows_are_made_listed_and_refused(client, ada):
    rows.make_plugins()
    made = client.experiments.create("Ring", rows.MODEL, visibility="private")
    assert [row["slug"] for row in client.experiments.list()] == ["ring"]
    branch = made["branches"][0]
    task = client.tasks.create(branch["id"], "ReconstructionTask", rows.make_dataset().slug)
    assert client.tasks.change(task["id"], weight=3)["weight"] == 3
    client.tasks.remove(task["id"])
    assert list(client.tasks.list(branch=branch["id"])) == []
    assert client.branches.create("ring", "other", tasks="none")["slug"] == "other"
    with pytest.raises(ApiError, match="422 The input was refused: name") as refused:
        client.experiments.create("Ring", rows.MODEL)
    assert list(refused.value.fields) == ["name"]
    with pytest.raises(ApiError, match="404 Not found"):
        client.experiments.get("nothing")


def test_what_is_submitted_twice_with_one_key_is_one_job(client, ada):
    first = queued(client, ada)
    branch = Job.objects.get().branch_id
    again = [client.jobs.train(branch, key="once", steps=5)["id"] for _ in range(2)]
    assert again[0] == again[1] != first
    client.jobs.stop(first)
    assert client.jobs.get(first)["state"] == "CANCELLED"


@pytest.mark.parametrize("lost", [(), (10,), (30,), (0, 10, 20, 30)])
def test_a_job_is_followed_to_its_end_and_every_step_comes_once(client, ada, lost):
    job = queued(client, ada)
    worker = threading.Timer(0.3, work, (job,), {"lost": lost})
    worker.start()
    updates = list(client.follow(job))
    worker.join()
    assert isinstance(updates[-1], State)
    assert updates[-1].job["state"] == "SUCCEEDED"
    values = np.concatenate([update.columns["total"] for update in updates if isinstance(update, Points)])
    np.testing.assert_array_equal(values, np.arange(40, dtype=np.float32))


def test_the_losses_of_a_job_come_whole_or_in_part_by_the_names_asked_for(client, ada):
    job = queued(client, ada)
    work(job, pause=0)
    assert list(client.jobs.losses(job).columns) == ["total"]
    part = client.jobs.losses(job, ["total", "raw/never"], start=5, stop=9)
    assert (part.start, part.stop, part.columns["total"].tolist()) == (5, 9, [5.0, 6.0, 7.0, 8.0])
    assert client.jobs.losses(job, ["raw/never"]).columns == {}


def test_a_job_that_may_not_be_seen_cannot_be_followed(client):
    with pytest.raises(ApiError, match="404"):
        list(client.follow(12345))


def test_a_token_that_was_revoked_and_a_site_that_is_away_are_told(client, site_url):
    ApiToken.objects.all().delete()
    with pytest.raises(ApiError, match="401"):
        list(client.experiments.list())
    with pytest.raises(Unreachable, match="does not answer"):
        Client(f"http://127.0.0.1:{free_port()}", "acc_x").experiments.get("digits")
    with pytest.raises(ValueError, match="give the address of a site"):
        Client("127.0.0.1", "acc_x")


def test_the_example_of_the_documentation_runs(client, ada, site_url, token, capsys):
    rows.make_plugins()
    branch = rows.make_branch(ada)
    rows.make_task(branch, rows.make_dataset())
    rows.make_checkpoint(branch, losses={"total": 0.5})

    def help_it() -> None:
        while not Job.objects.exists():
            time.sleep(0.02)
        work(Job.objects.get().pk)

    snippet = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.S)
    assert snippet is not None
    worker = threading.Thread(target=help_it)
    worker.start()
    exec(compile(snippet[1], str(DOCS), "exec"), {"url": site_url, "token": token})
    worker.join()
    printed = capsys.readouterr().out
    assert "{'total': 39.0}" in printed
    assert "SUCCEEDED" in printed
    assert "10 {'total': 0.5}" in printed
    assert Worker.objects.count() == 1


def test_the_example_of_a_job_that_failed_runs(client, ada, capsys):
    rows.make_plugins()
    branch = rows.make_branch(ada)
    rows.make_task(branch, rows.make_dataset())
    job = rows.make_job(
        branch, state="FAILED", attempt=1, step=10, total_steps=40, message="ValueError: boom"
    )
    rows.make_checkpoint(branch, job)
    said = b"Warning: odd\nthe last words\n"
    logs.keep(job.pk, 1, 0, size=len(said), read=lambda start, stop: said[start:stop], ended=True)
    snippet = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S)[1]
    exec(compile(snippet, str(DOCS), "exec"), {"client": client, "job": {"id": job.pk}})
    assert capsys.readouterr().out.splitlines() == [
        "ValueError: boom",
        "Warning: odd",
        "the last words",
        "0 Warning: odd",
    ]
    assert client.jobs.get(job.pk)["state"] == "QUEUED"


def test_news_are_listed_and_read(client, ada):
    rows.make_plugins()
    job = rows.make_job(rows.make_branch(ada), state="QUEUED", created_by=ada)
    worker = rows.make_worker("w")
    claim = lifecycle.claim(job.pk, worker)
    assert claim is not None
    lifecycle.start(job.pk, claim.attempt)
    lifecycle.finish(job.pk, claim.attempt)
    news = client.news(limit=5)
    assert (news["unread"], news["news"][0]["url"]) == (1, f"/jobs/{job.pk}/")
    assert client.read_news(news)["unread"] == 0
    assert client.news(everyones=True)["news"][0]["unread"] is False
    assert client.read_news()["unread"] == 0


def test_runs_are_listed_filtered_grouped_and_written_to_a_file(client, ada, tmp_path):
    rows.make_plugins()
    jobs = [rows.make_job(rows.make_branch(ada, name), state="SUCCEEDED") for name in ("one", "two")]
    write(jobs)
    assert [run["id"] for run in client.runs.list(sort="run")] == [job.pk for job in jobs]
    found = list(client.runs.list("experiment = two", columns=["lr", "optimizer"]))
    assert [run["values"] for run in found] == [{"train/lr": 0.002, "train/optimizer": "adamw"}]
    assert client.runs.columns()["train/lr"] == "number"
    groups = client.runs.groups("experiment", columns=["lr"])
    assert {(group["key"], group["n"], group["means"]["train/lr"]["mean"]) for group in groups} == {
        ("one", 1, 0.002),
        ("two", 1, 0.002),
    }
    path = client.runs.download(tmp_path / "runs.csv", "experiment = one", columns=["lr"])
    assert path.read_text() == f"run,experiment,branch,train/lr\n{jobs[0].pk},one,main,0.002\n"
    with pytest.raises(ApiError, match="zebra"):
        list(client.runs.list("zebra = 1"))

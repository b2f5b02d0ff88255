"""What a job prints is not lost when it starts while its worker looks, and no job is lost for want of a log."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from workers.job import joblog

ROOT = Path(__file__).resolve().parents[2]


def test_the_file_of_a_job_that_starts_while_the_worker_looks_is_let_be(settings, tmp_path, monkeypatch):
    settings.HOME = tmp_path
    running: set[int] = set()
    listed = joblog.streams

    def with_one_more(worker: str) -> list[joblog.Stream]:
        running.add(7)  # what is to run is noted before its process is asked for
        (joblog.folder_of(worker) / "7-1-0.log").touch()
        return listed(worker)

    monkeypatch.setattr(joblog, "streams", with_one_more)
    keeper = joblog.Keeper("train-1", lambda: set(running))
    keeper._look()
    assert [stream.job for stream in listed("train-1")] == [7]
    running.clear()
    monkeypatch.setattr(joblog, "streams", listed)
    keeper._look()
    assert listed("train-1") == []


def test_a_job_goes_on_where_the_file_of_its_log_cannot_be_made(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "job-logs").write_text(
        "a file in the way: nobody, root included, can make a folder here"
    )
    code = (
        "import django; django.setup()\n"
        "from workers.job import joblog\n"
        "joblog.capture('train-1', 7, 1)\n"
        "print('the job goes on', flush=True)\n"
        "joblog.keep_now('train-1', 7)\n"
        "print('and ends')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "ACC_HOME": str(tmp_path), "DJANGO_SETTINGS_MODULE": "accsite.settings.embedded"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "the job goes on\nand ends\n" in done.stdout, done.stderr
    assert "job_log_not_made" in done.stdout + done.stderr

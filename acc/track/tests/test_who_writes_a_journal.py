"""One process writes a journal; who only asks whether it is written keeps nobody from beginning to."""

from __future__ import annotations

import fcntl
import threading
import time
from pathlib import Path

import pytest

from acc import track
from acc.errors import InvalidInput
from acc.track import file as files


def test_a_run_begins_while_another_process_asks_whether_it_is_written(tmp_path: Path) -> None:
    track.run("a/b", id="r", folder=tmp_path, offline=True).finish()
    path = tmp_path / "r.accrun"
    with path.open("rb") as asking:  # held longer than asking takes
        fcntl.flock(asking, fcntl.LOCK_SH)
        threading.Timer(0.2, lambda: fcntl.flock(asking, fcntl.LOCK_UN)).start()
        began = time.monotonic()
        with track.run("a/b", id="r", folder=tmp_path, offline=True) as run:
            assert time.monotonic() - began >= 0.1
            assert files.is_written(path)
            run.log({"loss": 1.0})
    assert not files.is_written(path)


def test_runs_begin_and_end_while_they_are_asked_for_all_the_time(tmp_path: Path) -> None:
    track.run("a/b", id="r", folder=tmp_path, offline=True).finish()
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            files.is_written(tmp_path / "r.accrun")

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(20):
            track.run("a/b", id="r", folder=tmp_path, offline=True).finish()
    finally:
        over.set()
        asking.join()


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with (
        track.run("a/b", id="r", folder=tmp_path, offline=True),
        pytest.raises(InvalidInput, match="is being written by another process"),
    ):
        track.run("a/b", id="r", folder=tmp_path, offline=True)

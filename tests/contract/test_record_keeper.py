"""Who keeps the records of a training and its training end apart: each alone, killed, or told to give up."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest
from django.db import OperationalError

from acc.messages import Begin
from accsite.apps.jobs.models import JobEvent
from accsite.apps.live import frames
from accsite.apps.training.services import jobs, points
from tests.contract import real
from tests.contract.conftest import block
from tests.contract.test_recorder import steps_of
from workers.job import record_keeper
from workers.job.record_keeper import RecordKeeper
from workers.job.records import Pipe, block_message
from workers.job.sinks import Recorder, RecordKeeperLost

pytestmark = pytest.mark.both_databases


def kept(pipe: Pipe) -> threading.Thread:
    """Return the thread that keeps the records of who has the other end."""
    thread = threading.Thread(target=RecordKeeper(pipe).run, daemon=True)
    thread.start()
    return thread


def begin(claimed: Any) -> Begin:
    return {"say": "begin", "job": claimed.job.pk, "attempt": claimed.attempt}


def test_every_block_that_was_handed_over_before_a_kill_is_committed(claimed):
    ours, theirs = Pipe.pair()
    pid = os.fork()
    if pid == 0:
        ours.send(begin(claimed))
        for start in range(0, 500, 5):
            ours.send(*block_message(block(start, 5)))
        os.kill(os.getpid(), signal.SIGKILL)
    ours.forget()
    os.waitpid(pid, 0)
    keeper = kept(theirs)
    keeper.join(20)
    assert not keeper.is_alive()
    assert steps_of(claimed.job) == list(range(500))
    assert claimed.fresh().step == 500


def test_what_a_killed_training_left_is_not_waited_for_longer_than_a_lease(claimed, monkeypatch):
    def locked(*_arguments: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(points, "append", locked)
    ours, theirs = Pipe.pair()
    keeper = kept(theirs)
    ours.send(begin(claimed))
    ours.send(*block_message(block(0, 5)))
    ours.close()
    began = time.monotonic()
    keeper.join(20)
    assert not keeper.is_alive()
    assert time.monotonic() - began > 0.9, "a lease is one second in this test"


def test_the_last_frame_is_sent_before_the_training_may_tell_its_end(claimed, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(frames, "publish", lambda *_: said.append("frame"))
    monkeypatch.setattr(frames, "flush", lambda: said.append("all sent"))
    ours, theirs = Pipe.pair()
    kept(theirs)
    ours.send(begin(claimed))
    ours.send(*block_message(block(0, 5)))
    ours.send({"say": "end"})
    assert ours.receive() == ({"say": "kept"}, b"")
    assert said == ["frame", "all sent"]


def test_a_keeper_whose_job_was_not_to_be_had_leaves():
    ours, theirs = Pipe.pair()
    keeper = kept(theirs)
    ours.close()
    keeper.join(20)
    assert not keeper.is_alive()


def test_the_end_of_its_keeper_is_told_to_a_training_and_raised(claimed, lease, scratch):
    broken = threading.Event()
    ours, theirs = Pipe.pair()
    recorder = Recorder(lease, scratch=scratch, on_broken=broken.set, pipe=ours)
    recorder.on_block(block(0, 5))
    assert not broken.wait(0.2)
    theirs.close()
    assert broken.wait(5)
    recorder.on_block(block(5, 5))
    for _ in range(2):
        with pytest.raises(RecordKeeperLost):
            recorder.close()


def test_what_cannot_be_written_ends_the_job_with_the_reason(claimed, lease, scratch, monkeypatch):
    broken = threading.Event()

    def odd(*_arguments: object) -> None:
        raise LookupError("a table is gone")

    monkeypatch.setattr(points, "append", odd)
    recorder = Recorder(lease, scratch=scratch, on_broken=broken.set)
    recorder.on_block(block(0, 5))
    assert broken.wait(10)
    with pytest.raises(Exception, match="could not be recorded: .*a table is gone"):
        recorder.close()


def test_a_job_whose_keeper_is_gone_goes_back_into_its_queue(
    transactional_db, redis_url, settings, monkeypatch
):
    real.keep_plugins()
    worker = real.make_worker()
    branch = real.make_branch(real.make_dataset())
    ends: list[Pipe] = []

    def gone() -> Pipe:
        ours, theirs = Pipe.pair()
        theirs.close()
        ends.append(ours)
        return ours

    monkeypatch.setattr(record_keeper, "in_a_thread", gone)
    train = {"steps": 2_000, "batch_size": 16, "device": "cpu", "threads": 1}
    job = real.run(jobs.submit_training(actor=None, branch=branch, train=train), worker)
    assert (job.state, job.workers_lost, len(ends)) == ("QUEUED", 1, 1)
    told = JobEvent.objects.filter(job=job, payload__state="LOST").get().message
    assert told == (
        "the process that keeps the job's records was ended; the job goes on from its last checkpoint"
    )

"""What a trainer hands over is written in order, whole, and only while the job is ours."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import OperationalError

from acc import wire
from acc.specs import TrainJobSpec
from acc.training.checkpoints.files import write_atomically
from acc.training.protocols import Alarm, Command, CommandResult
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import JobEvent
from accsite.apps.live import frames
from accsite.apps.training.models import Checkpoint, LossBlock
from accsite.apps.training.services import jobs, points
from tests.contract.conftest import block
from workers.job.record_keeper import CheckpointNotSaved, merge
from workers.job.sinks import Recorder

pytestmark = pytest.mark.both_databases


@dataclass
class Snapshot:
    """A real file with made-up content; ``fails`` times the disk is full."""

    step: int
    spec: TrainJobSpec
    fails: int = 0
    gate: threading.Event = field(default_factory=threading.Event)

    @property
    def global_step(self) -> int:
        return self.step

    def write(self, path: str) -> str:
        self.gate.wait(10)
        if self.fails:
            self.fails -= 1
            raise OSError(28, "No space left on device")
        return write_atomically(Path(path), f"weights after {self.step}".encode())


@pytest.fixture
def recorder(claimed, lease, scratch):
    return Recorder(lease, scratch=scratch, on_broken=lambda: None)


def snapshot(claimed, step: int, **options: Any) -> Snapshot:
    made = Snapshot(step, TrainJobSpec.model_validate(claimed.job.spec), **options)
    made.gate.set()
    return made


def steps_of(job) -> list[float]:
    """Return the values of series ``total`` in order."""
    rows = LossBlock.objects.filter(job=job).order_by("start")
    found = [np.frombuffer(bytes(row.values), "<f4").reshape(len(row.series), -1)[0] for row in rows]
    return np.concatenate(found).tolist() if found else []


def test_blocks_are_written_in_order_and_merged(claimed, recorder):
    for start in range(0, 500, 5):
        recorder.on_block(block(start, 5))
    recorder.close()
    assert steps_of(claimed.job) == list(range(500))
    assert claimed.fresh().step == 500
    assert claimed.fresh().points_seq < 50, "they came faster than they are written, so they were merged"


def test_a_change_of_series_begins_another_block(claimed, recorder):
    recorder.on_block(block(0, 5, "total"))
    recorder.on_block(block(5, 5, "total", "raw/kl"))
    recorder.close()
    assert claimed.fresh().step == 10
    assert steps_of(claimed.job) == list(range(10))


def test_a_frame_carries_what_the_database_has_taken(claimed, recorder, monkeypatch):
    sent: list[bytes] = []
    monkeypatch.setattr(frames, "publish", lambda job_id, payload: sent.append(payload))
    recorder.on_block(block(0, 4))
    recorder.close()
    header, columns = wire.decode(sent[0])
    assert (header["job"], header["start"], header["count"], header["seq"]) == (claimed.job.pk, 0, 4, 1)
    assert columns.tolist() == [[0, 1, 2, 3]]


def test_no_point_is_lost_while_the_database_is_locked(claimed, recorder, monkeypatch):
    append, locked = points.append, threading.Event()
    locked.set()

    def unsteady(*arguments):
        if locked.is_set():
            raise OperationalError("database is locked")
        return append(*arguments)

    monkeypatch.setattr(points, "append", unsteady)
    for start in range(0, 100, 10):
        recorder.on_block(block(start, 10))
        time.sleep(0.03)
    assert claimed.fresh().step == 0
    locked.clear()
    recorder.close()
    assert steps_of(claimed.job) == list(range(100))


def test_a_checkpoint_is_recorded_after_the_points_that_lead_to_it(claimed, recorder):
    recorder.on_block(block(0, 50))
    made = snapshot(claimed, 50)
    recorder.on_checkpoint(made, "autosave")
    recorder.on_block(block(50, 50))
    recorder.on_checkpoint(snapshot(claimed, 100), "final")
    recorder.close()
    autosave, final = Checkpoint.objects.filter(job=claimed.job).order_by("job_step")
    assert (autosave.kind, autosave.job_step, autosave.losses) == ("autosave", 50, {"total": 49.0})
    assert (final.kind, final.job_step, final.losses) == ("final", 100, {"total": 99.0})
    assert claimed.fresh().resume_checkpoint == final


def test_points_do_not_wait_for_a_slow_disk(claimed, recorder):
    slow = Snapshot(10, TrainJobSpec.model_validate(claimed.job.spec))
    recorder.on_block(block(0, 10))
    recorder.on_checkpoint(slow, "autosave")
    recorder.on_block(block(10, 10))
    until = time.monotonic() + 3
    while claimed.fresh().step < 20:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert not Checkpoint.objects.exists()
    slow.gate.set()
    recorder.close()
    assert Checkpoint.objects.get().job_step == 10


def test_a_full_disk_costs_an_autosave_and_is_told(claimed, recorder):
    recorder.on_block(block(0, 10))
    recorder.on_checkpoint(snapshot(claimed, 10, fails=1), "autosave")
    recorder.on_block(block(10, 10))
    recorder.close()
    assert not Checkpoint.objects.exists()
    told = JobEvent.objects.get(job=claimed.job, kind="alarm")
    assert "the disk is full" in told.message
    assert claimed.fresh().step == 20


def test_a_final_checkpoint_is_tried_again_on_a_full_disk(claimed, recorder, monkeypatch):
    monkeypatch.setattr("workers.job.record_keeper.DISK_PAUSE_SECONDS", 0.05)
    recorder.on_block(block(0, 10))
    recorder.on_checkpoint(snapshot(claimed, 10, fails=3), "final")
    recorder.close()
    assert Checkpoint.objects.get().kind == "final"


def test_a_final_checkpoint_that_cannot_be_written_is_an_error_with_a_reason(claimed, recorder, monkeypatch):
    monkeypatch.setattr("workers.job.record_keeper.DISK_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("workers.job.record_keeper.DISK_PATIENCE_SECONDS", 0.05)
    recorder.on_block(block(0, 10))
    recorder.on_checkpoint(snapshot(claimed, 10, fails=10**6), "final")
    with pytest.raises(CheckpointNotSaved, match="step 10 could not be written: the disk is full"):
        recorder.close()
    assert claimed.fresh().step == 10


def test_commands_are_answered_and_a_pause_shows_on_the_job(claimed, recorder):
    event = jobs.request_control(actor=None, job=claimed.job, kind="pause")
    recorder.on_block(block(0, 7))
    recorder.on_command(CommandResult(Command(event.pk, "pause"), 7, ok=True))
    recorder.close()
    event.refresh_from_db()
    assert (event.status, event.step) == ("APPLIED", 7)
    assert claimed.fresh().state == "PAUSED"


def test_alarms_become_events(claimed, recorder):
    recorder.on_alarm(Alarm("nan", 3, "the loss of 'kl' was no finite number", "raw/kl"))
    recorder.close()
    assert JobEvent.objects.get(job=claimed.job, kind="alarm").step == 3


def test_baselines_become_events_once_for_each_task(claimed, recorder):
    recorder.on_baseline("digit", 2.3, "always answering with how frequent each class is")
    recorder.on_baseline("kl", 0.0, "a collapsed posterior", floor=True)
    recorder.on_baseline("digit", 2.3, "always answering with how frequent each class is")
    recorder.close()
    digit, kl = JobEvent.objects.filter(job=claimed.job, kind="baseline").order_by("id")
    assert digit.status == "RECORDED"
    assert digit.payload == {
        "task": "digit",
        "loss": 2.3,
        "words": "always answering with how frequent each class is",
        "floor": False,
    }
    assert (kl.payload["task"], kl.payload["floor"]) == ("kl", True)


def test_nothing_is_written_once_the_job_is_another_s(claimed, lease, scratch):
    broken = threading.Event()
    recorder = Recorder(lease, scratch=scratch, on_broken=broken.set)
    recorder.on_block(block(0, 10))
    until = time.monotonic() + 3
    while claimed.fresh().step < 10:
        assert time.monotonic() < until
        time.sleep(0.02)
    claimed.taken()
    recorder.on_block(block(10, 10))
    assert broken.wait(3)
    recorder.on_checkpoint(snapshot(claimed, 20), "final")
    with pytest.raises(Fenced):
        recorder.close()
    assert lease.fenced.is_set()
    assert claimed.fresh().step == 10
    assert not Checkpoint.objects.exists()


def test_merging_keeps_every_value_and_both_ends_of_the_clock():
    merged = merge([block(0, 3), block(3, 2), block(5, 1)])
    assert merged.values.tolist() == [[0, 1, 2, 3, 4, 5]]
    assert (merged.start, merged.wall_start, merged.wall_end) == (0, 1000.0, 1005.0)

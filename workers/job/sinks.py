"""What a job produces, on its way out: the database first, then the pages; never on the training thread."""

from __future__ import annotations

import contextvars
import errno
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import structlog

from acc import wire
from acc.errors import AccError
from acc.training.protocols import Alarm, Baseline, CheckpointReason, CommandResult, PointBlock, Snapshot
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.services import lifecycle
from accsite.apps.live import frames
from accsite.apps.training.models import CheckpointKind
from accsite.apps.training.services import checkpoints, events, points
from workers.fork import copies
from workers.job.control import OWN_COMMAND_ID
from workers.job.durable import GivenUp, disconnect, insist
from workers.job.lease import Lease

FRAME_SECONDS = 0.1
"""At most ten transactions and ten frames a second, whatever the trainer's pace."""
MERGED_STEPS = 65_536
DISK_PATIENCE_SECONDS = 60.0
DISK_PAUSE_SECONDS = 2.0

KINDS: dict[CheckpointReason, CheckpointKind] = {
    "autosave": CheckpointKind.AUTOSAVE,
    "drained": CheckpointKind.AUTOSAVE,
    "final": CheckpointKind.FINAL,
    "stopped": CheckpointKind.STOPPED,
    "manual": CheckpointKind.MANUAL,
}

T = TypeVar("T")
log = structlog.get_logger(__name__)


class CheckpointNotSaved(AccError):
    """A checkpoint that had to be kept could not be written; the sentence says why."""


@dataclass
class _Saving:
    """A checkpoint on its way to the disk, and later to its row."""

    snapshot: Snapshot
    reason: CheckpointReason
    path: Path
    sha256: Future[str]
    losses: dict[str, float] = field(default_factory=dict)


_Item = PointBlock | CommandResult | Alarm | tuple[str, Baseline] | _Saving | None
"""None: the end."""


class Recorder:
    """The Sink of a job. Keeps the order: a checkpoint's row is written after the points that lead to it.

    Points wait in memory while the database is away, and are merged; nothing is dropped. ``lease`` is told
    when the job turns out to be another's. ``on_broken`` is called, on the recorder's thread, when nothing
    more can be written, so that the training ends; ``close`` then raises what happened.
    """

    def __init__(self, lease: Lease, *, scratch: Path, on_broken: Callable[[], None]) -> None:
        self.job_id, self.attempt, self.lease = lease.job_id, lease.attempt, lease
        self.scratch, self.on_broken = scratch, on_broken
        self.error: BaseException | None = None
        self.step = 0  # the first step that no block has reached yet
        self._items: deque[_Item] = deque()
        self._arrived = threading.Event()
        self._hurry = threading.Event()
        self._saving: deque[_Saving] = deque()
        self._losses: dict[str, float] = {}
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="sink", daemon=True)
        self._thread.start()

    # --- the training thread ----------------------------------------------------------------------------

    def on_block(self, block: PointBlock) -> None:
        """Take a block of loss points."""
        self.step = block.start + block.count
        self._put(block)

    def on_command(self, result: CommandResult) -> None:
        self._put(result, hurry=True)

    def on_alarm(self, alarm: Alarm) -> None:
        self._put(alarm, hurry=True)

    def on_baseline(self, task_key: str, value: float, words: str, floor: bool = False) -> None:
        """Take what a task's trivial predictor loses."""
        self._put((task_key, Baseline(value, words, floor)))

    def on_checkpoint(self, snapshot: Snapshot, reason: CheckpointReason) -> None:
        """Take a snapshot; it is written, hashed and recorded on other threads."""
        if self.error is not None:
            return
        path = self.scratch / f"job-{self.job_id}-{self.attempt}-{snapshot.step}-{reason}.safetensors"
        write = partial(_write, snapshot, path, patient=reason != "autosave", given_up=self.lease.fenced)
        saving = _Saving(snapshot, reason, path, self._writer.submit(write))
        saving.sha256.add_done_callback(lambda _: self._wake())
        self._put(saving, hurry=True)

    def _put(self, item: _Item, *, hurry: bool = False) -> None:
        copies.end_if_copy()
        self._items.append(item)
        self._arrived.set()
        if hurry:
            self._hurry.set()

    def _wake(self) -> None:
        self._arrived.set()
        self._hurry.set()

    # --- the end ----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Return when all is written; raises Fenced if the job is another's, else what broke the recorder."""
        self._put(None, hurry=True)
        self._thread.join()
        self._writer.shutdown(wait=True, cancel_futures=True)
        if self.error is not None:
            raise self.error

    # --- the sink thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._round():
                self._hurry.wait(FRAME_SECONDS)
                self._hurry.clear()
        except (Fenced, GivenUp):
            self.error = Fenced(self.job_id, self.attempt)
            self.lease.lost()
            self.on_broken()
        except BaseException as error:
            log.exception("recorder_broken")
            self.error = error
            self.on_broken()
        finally:
            disconnect()

    def _round(self) -> bool:
        """Write what has come; return whether more may come."""
        self._arrived.wait()
        self._arrived.clear()
        going_on = True
        waiting: list[PointBlock] = []
        while self._items:
            item = self._items.popleft()
            if isinstance(item, PointBlock):
                if waiting and not _follows(waiting, item):
                    self._write_points(waiting)
                    waiting = []
                waiting.append(item)
                continue
            if waiting:
                self._write_points(waiting)
                waiting = []
            if item is None:
                going_on = False
            elif isinstance(item, _Saving):
                item.losses = dict(self._losses)
                self._saving.append(item)
            elif isinstance(item, CommandResult):
                self._write_result(item)
            elif isinstance(item, tuple):
                self._insist(partial(events.record_baseline, self.job_id, self.attempt, *item))
            else:
                insist(
                    partial(events.record_alarm, self.job_id, self.attempt, item), given_up=self.lease.fenced
                )
        if waiting:
            self._write_points(waiting)
        self._write_checkpoints(wait=not going_on)
        return going_on

    def _insist(self, write: Callable[[], T]) -> T:
        return insist(write, given_up=self.lease.fenced)

    def _write_points(self, blocks: list[PointBlock]) -> None:
        block = merge(blocks)
        header = self._insist(partial(points.append, self.job_id, self.attempt, block))
        # A task that is off by now has no loss that a later checkpoint could wear.
        self._losses = {name: value for name, value in self._losses.items() if name in block.series}
        for name, row in zip(block.series, block.values, strict=True):
            finite = row[np.isfinite(row)]
            if len(finite):
                self._losses[name] = float(finite[-1])
        frames.publish(self.job_id, wire.encode(header, block.values))

    def _write_result(self, result: CommandResult) -> None:
        command = result.command
        if command.id == OWN_COMMAND_ID:
            return
        if command.at_step is not None:
            if not result.ok:  # part of the checkpoint already, as with a task that was added just before it
                log.info("replay_not_needed", kind=command.kind, step=result.step, message=result.message)
            return
        self._insist(partial(events.record_command_result, self.job_id, self.attempt, result))
        if result.ok and command.kind in {"pause", "resume"}:
            paused = command.kind == "pause"
            self._insist(partial(lifecycle.set_paused, self.job_id, self.attempt, paused))

    def _write_checkpoints(self, *, wait: bool) -> None:
        while self._saving and (wait or self._saving[0].sha256.done()):
            saving = self._saving.popleft()
            try:
                sha256 = saving.sha256.result()
                record = partial(self._insist, partial(self._record, saving, sha256))
                _patiently(record, patient=saving.reason != "autosave", given_up=self.lease.fenced)
            except OSError as error:
                saving.path.unlink(missing_ok=True)
                self._not_saved(saving, error)

    def _record(self, saving: _Saving, sha256: str) -> None:
        checkpoints.record(
            self.job_id,
            self.attempt,
            saving.path,
            kind=KINDS[saving.reason],
            job_step=saving.snapshot.step,
            global_step=saving.snapshot.global_step,
            sha256=sha256,
            losses=saving.losses,
            spec=saving.snapshot.spec.model_dump(mode="json"),
        )

    def _not_saved(self, saving: _Saving, error: OSError) -> None:
        why = (
            "the disk is full"
            if error.errno in {errno.ENOSPC, errno.EDQUOT}
            else (error.strerror or str(error))
        )
        message = f"the checkpoint at step {saving.snapshot.step} could not be written: {why}"
        if saving.reason != "autosave":
            raise CheckpointNotSaved(f"{message}. The checkpoints before it are kept") from error
        log.warning("autosave_failed", error=why)
        alarm = Alarm(
            "autosave", saving.snapshot.step, f"{message}; training goes on, the one before is kept"
        )
        self._insist(partial(events.record_alarm, self.job_id, self.attempt, alarm))


def merge(blocks: list[PointBlock]) -> PointBlock:
    """Return consecutive blocks of the same series as one."""
    if len(blocks) == 1:
        return blocks[0]
    return PointBlock(
        start=blocks[0].start,
        series=blocks[0].series,
        values=np.concatenate([block.values for block in blocks], axis=1),
        wall_start=blocks[0].wall_start,
        wall_end=blocks[-1].wall_end,
    )


def _follows(waiting: list[PointBlock], block: PointBlock) -> bool:
    last = waiting[-1]
    size = sum(each.count for each in waiting)
    return last.series == block.series and last.start + last.count == block.start and size < MERGED_STEPS


def _write(snapshot: Snapshot, path: Path, *, patient: bool, given_up: threading.Event) -> str:
    return _patiently(partial(snapshot.write, str(path)), patient=patient, given_up=given_up)


def _patiently(write: Callable[[], T], *, patient: bool, given_up: threading.Event) -> T:
    """Return what ``write`` returns; a full disk is given a minute if what is written must be kept."""
    until = time.monotonic() + DISK_PATIENCE_SECONDS
    while True:
        try:
            return write()
        except OSError as error:
            if not patient or time.monotonic() > until or given_up.is_set():
                raise
            log.warning("checkpoint_not_written", error=str(error), hint="tried again for a minute")
            given_up.wait(DISK_PAUSE_SECONDS)

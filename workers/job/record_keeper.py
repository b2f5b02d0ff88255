"""Keeps the records of a training, beside it: the database first, then the pages.

A process of its own, a fork of the zygote, so that the training has its interpreter for itself and what it has handed
over is kept although it is killed. It ends after its training, see docs/adr/0023-record-keeper.md.
"""

from __future__ import annotations

import contextvars
import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import structlog
from django.conf import settings
from setproctitle import setproctitle

from acc import wire
from acc.errors import AccError
from acc.messages import Begin, Saved, ToKeeper
from acc.text import in_words
from acc.training.protocols import Alarm, Baseline, CheckpointReason, Command, CommandResult, PointBlock
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.services import lifecycle
from accsite.apps.live import frames
from accsite.apps.training.models import CheckpointKind
from accsite.apps.training.services import checkpoints, events, points
from accsite.logging import job_context
from workers.job.control import OWN_COMMAND_ID
from workers.job.durable import GivenUp, disconnect, insist
from workers.job.records import Pipe, block_of

FRAME_SECONDS = 0.05
"""From one transaction and frame to the next, whatever the trainer's pace; what comes after a quiet spell goes at once.

Half of what the trainer gathers, so that blocks a tenth of a second apart never wait here for one another.
"""
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
    """A checkpoint that the training writes to the disk."""

    reason: CheckpointReason
    step: int
    global_step: int
    path: Path
    losses: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Saved:
    """How the writing of the oldest checkpoint on its way went."""

    told: Saved


class _End:
    """The end, as the training says it, or of the training itself."""


_Item = PointBlock | CommandResult | Alarm | tuple[str, Baseline] | _Saving | _Saved | _End


class RecordKeeper:
    """Writes what comes over a pipe, in its order; a checkpoint's row comes after the points that lead to it.

    What comes waits in memory while the database is away, and blocks are merged; nothing is dropped. What is said back
    is ``kept`` once all is committed that came before the end, or why nothing more can be written: ``fenced``,
    ``unsaved`` (a checkpoint that had to be kept) or ``broken``. A training that is gone without an end is given
    ACC_LEASE_SECONDS; after so long the job may be another's anyway.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._items: deque[_Item] = deque()
        self._arrived = threading.Event()
        self._hurry = threading.Event()
        self._given_up = threading.Event()
        self._saving: deque[_Saving] = deque()
        self._losses: dict[str, float] = {}
        self._began = 0.0  # when the last round began to write
        self.job_id = self.attempt = 0

    def run(self) -> None:
        """Keep records until the end of the training."""
        heard = self._pipe.receive()
        if heard is None:
            return  # the job was not to be had
        begun = cast(Begin, heard[0])
        self.job_id, self.attempt = begun["job"], begun["attempt"]
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._read,), name="records", daemon=True).start()
        try:
            while self._round():
                self._hurry.wait(max(0.0, self._began + FRAME_SECONDS - time.monotonic()))
                self._hurry.clear()
            frames.flush()  # before pages hear of the end, which the training writes next
            self._pipe.send({"say": "kept"})
        except (Fenced, GivenUp):
            self._pipe.send({"say": "fenced"})
        except CheckpointNotSaved as error:
            self._pipe.send({"say": "unsaved", "why": str(error)})
        except BaseException as error:
            log.exception("records_not_kept")
            self._pipe.send({"say": "broken", "why": in_words(error)})
        finally:
            disconnect()

    # --- what comes, on a thread of its own ---------------------------------------------------------------

    def _read(self) -> None:
        while (heard := self._pipe.receive()) is not None:
            said, values = heard
            if said["say"] == "fenced":
                self._given_up.set()
                continue
            item = _item(cast(ToKeeper, said), values)
            self._items.append(item)
            if not isinstance(item, PointBlock):
                self._hurry.set()
            self._arrived.set()
            if isinstance(item, _End):
                return
        self._items.append(_End())
        self._hurry.set()
        self._arrived.set()
        # Nobody waits here for the training any more, but for those who wait to take its job from it.
        time.sleep(settings.ACC_LEASE_SECONDS)
        self._given_up.set()

    # --- what is written ----------------------------------------------------------------------------------

    def _round(self) -> bool:
        """Write what has come; return whether more may come."""
        self._arrived.wait()
        self._arrived.clear()
        self._began = time.monotonic()
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
            if isinstance(item, _End):
                going_on = False
            elif isinstance(item, _Saving):
                item.losses = dict(self._losses)
                self._saving.append(item)
            elif isinstance(item, _Saved):
                self._write_checkpoint(self._saving.popleft(), item.told)
            elif isinstance(item, CommandResult):
                self._write_result(item)
            elif isinstance(item, tuple):
                self._insist(partial(events.record_baseline, self.job_id, self.attempt, *item))
            else:
                self._insist(partial(events.record_alarm, self.job_id, self.attempt, item))
        if waiting:
            self._write_points(waiting)
        return going_on

    def _insist(self, write: Callable[[], T]) -> T:
        return insist(write, given_up=self._given_up)

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

    def _write_checkpoint(self, saving: _Saving, told: Saved) -> None:
        if "broken" in told:
            raise AccError(f"the checkpoint at step {saving.step} could not be written: {told['broken']}")
        try:
            if "errno" in told:
                raise OSError(told["errno"], told["why"])
            record = partial(self._insist, partial(self._record, saving, told))
            patiently(record, patient=saving.reason != "autosave", given_up=self._given_up)
        except OSError as error:
            saving.path.unlink(missing_ok=True)
            self._not_saved(saving, error)

    def _record(self, saving: _Saving, told: Saved) -> None:
        checkpoints.record(
            self.job_id,
            self.attempt,
            saving.path,
            kind=KINDS[saving.reason],
            job_step=saving.step,
            global_step=saving.global_step,
            sha256=told["sha256"],
            losses=saving.losses,
            spec=told["spec"],
        )

    def _not_saved(self, saving: _Saving, error: OSError) -> None:
        why = (
            "the disk is full"
            if error.errno in {errno.ENOSPC, errno.EDQUOT}
            else (error.strerror or str(error))
        )
        message = f"the checkpoint at step {saving.step} could not be written: {why}"
        if saving.reason != "autosave":
            raise CheckpointNotSaved(f"{message}. The checkpoints before it are kept") from error
        log.warning("autosave_failed", error=why)
        alarm = Alarm("autosave", saving.step, f"{message}; training goes on, the one before is kept")
        self._insist(partial(events.record_alarm, self.job_id, self.attempt, alarm))


def main(worker: str, job_id: int, pipe: Pipe) -> int:
    """Keep the records of a job in this process, and return its exit status."""
    setproctitle(f"acc {worker}: job {job_id}, records")
    with job_context(job_id):
        RecordKeeper(pipe).run()
        frames.flush()
    return os.EX_OK


def in_a_thread() -> Pipe:
    """Return the end of a pipe whose other end is kept by threads of this very process: for jobs without a zygote."""
    ours, theirs = Pipe.pair()

    def run() -> None:
        RecordKeeper(theirs).run()
        theirs.close()

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="record-keeper", daemon=True).start()
    return ours


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


def patiently(write: Callable[[], T], *, patient: bool, given_up: threading.Event) -> T:
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


def _follows(waiting: list[PointBlock], block: PointBlock) -> bool:
    last = waiting[-1]
    size = sum(each.count for each in waiting)
    return last.series == block.series and last.start + last.count == block.start and size < MERGED_STEPS


def _item(said: ToKeeper, values: bytes) -> _Item:  # noqa: PLR0911 - one for each message
    """Return what a message of the training says."""
    if said["say"] == "block":
        return block_of(said, values)
    if said["say"] == "result":
        command = Command(**said["command"])
        return CommandResult(command, said["step"], said["ok"], said["message"], said["field"])
    if said["say"] == "alarm":
        return Alarm(said["kind"], said["step"], said["message"], said["series"], said["over"])
    if said["say"] == "baseline":
        return said["task"], Baseline(said["loss"], said["words"], said["floor"])
    if said["say"] == "saving":
        return _Saving(said["reason"], said["step"], said["global_step"], Path(said["path"]))
    if said["say"] == "saved":
        return _Saved(said)
    assert said["say"] == "end", f"{said['say']!r} is not said of what is kept"
    return _End()

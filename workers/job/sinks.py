"""What a training produces, on its way out: handed to the process that keeps its records, at once."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import cast

import structlog

from acc import messages
from acc.errors import AccError
from acc.text import in_words
from acc.training.protocols import Alarm, CheckpointReason, CommandResult, PointBlock, Snapshot
from accsite.apps.jobs.errors import Fenced
from workers.fork import copies
from workers.job import record_keeper
from workers.job.lease import Lease
from workers.job.record_keeper import CheckpointNotSaved, patiently
from workers.job.records import Pipe, block_message

log = structlog.get_logger(__name__)


class RecordsNotKept(AccError):
    """What the job made cannot be written; the sentence says why."""


class RecordKeeperLost(AccError):
    """The process that kept the job's records is gone, and with it what it had not written yet."""


class Recorder:
    """The Sink of a job. Hands everything over in its order; files of checkpoints are written on a thread beside.

    What was handed over is kept although this process is killed. ``lease`` is told when the job turns out to be
    another's. ``on_broken`` is called, on a thread of the recorder, when nothing more can be written, so that the
    training ends; ``close`` then raises what happened. pipe: to the keeper of the records; None: threads of this
    process keep them.
    """

    def __init__(
        self, lease: Lease, *, scratch: Path, on_broken: Callable[[], None], pipe: Pipe | None = None
    ) -> None:
        self.job_id, self.attempt, self.lease = lease.job_id, lease.attempt, lease
        self.scratch, self.on_broken = scratch, on_broken
        self.error: BaseException | None = None
        self.step = 0  # the first step that no block has reached yet
        self._closing = False
        self._pipe = pipe or record_keeper.in_a_thread()
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._say({"say": "begin", "job": self.job_id, "attempt": self.attempt})
        context = contextvars.copy_context()
        self._answered = threading.Thread(
            target=context.run, args=(self._hear,), name="recorder", daemon=True
        )
        self._answered.start()
        lease.when_fenced(partial(self._say, messages.Fenced(say="fenced")))

    # --- the training thread ----------------------------------------------------------------------------

    def on_block(self, block: PointBlock) -> None:
        copies.end_if_copy()
        self.step = block.start + block.count
        self._pipe.send(*block_message(block))

    def on_command(self, result: CommandResult) -> None:
        self._say(cast(messages.Answer, {"say": "result", **asdict(result)}))

    def on_alarm(self, alarm: Alarm) -> None:
        self._say(cast(messages.Alarm, {"say": "alarm", **asdict(alarm)}))

    def on_baseline(self, task_key: str, value: float, words: str, floor: bool = False) -> None:
        """Take what a task's trivial predictor loses."""
        self._say({"say": "baseline", "task": task_key, "loss": value, "words": words, "floor": floor})

    def on_checkpoint(self, snapshot: Snapshot, reason: CheckpointReason) -> None:
        """Take a snapshot; it is written and hashed on another thread."""
        if self.error is not None:
            return
        path = self.scratch / f"job-{self.job_id}-{self.attempt}-{snapshot.step}-{reason}.safetensors"
        self._say(
            {
                "say": "saving",
                "reason": reason,
                "step": snapshot.step,
                "global_step": snapshot.global_step,
                "path": str(path),
            }
        )
        self._writer.submit(self._save, snapshot, path, patient=reason != "autosave")

    def _say(self, message: messages.ToKeeper) -> None:
        copies.end_if_copy()
        self._pipe.send(message)

    # --- the end ----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Return when all is committed; raises Fenced if the job is another's, else what broke the recorder."""
        if not self._closing:
            self._closing = True
            self._writer.shutdown(wait=True, cancel_futures=self.error is not None)
            self._say({"say": "end"})
        self._answered.join()
        self._pipe.close()
        if self.error is not None:
            raise self.error

    # --- other threads ----------------------------------------------------------------------------------

    def _save(self, snapshot: Snapshot, path: Path, *, patient: bool) -> None:
        try:
            write = partial(snapshot.write, str(path))
            sha256 = patiently(write, patient=patient, given_up=self.lease.fenced)
        except OSError as error:
            self._say({"say": "saved", "errno": error.errno, "why": error.strerror or str(error)})
        except Exception as error:
            log.exception("checkpoint_not_written")
            self._say({"say": "saved", "broken": in_words(error)})
        else:
            self._say({"say": "saved", "sha256": sha256, "spec": snapshot.spec.model_dump(mode="json")})

    def _hear(self) -> None:
        """Wait for what the keeper of the records has to say: once, at the end."""
        heard = self._pipe.receive()
        if heard is None:
            self._break(RecordKeeperLost("the process that keeps the job's records was ended"))
            return
        said = cast(messages.FromKeeper, heard[0])
        if said["say"] == "fenced":
            self.lease.lost()
            self._break(Fenced(self.job_id, self.attempt))
        elif said["say"] == "unsaved":
            self._break(CheckpointNotSaved(said["why"]))
        elif said["say"] == "broken":
            self._break(RecordsNotKept(f"what the job made could not be recorded: {said['why']}"))

    def _break(self, error: BaseException) -> None:
        self.error = self.error or error
        self.on_broken()

"""Trains: specification, datasets and checkpoint go into the trainer; its sink and control are the site's."""

from __future__ import annotations

import os
from functools import partial
from typing import Any, NoReturn

import structlog
from django.conf import settings

from acc.errors import CheckpointError
from acc.specs import TrainJobSpec
from acc.training.checkpoints import files
from acc.training.protocols import Alarm, Command, CommandResult
from acc.training.settings import keep_freed_memory
from acc.training.trainer import Trainer, TrainResult
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.services import lifecycle
from accsite.apps.live import frames
from accsite.apps.training.models import Checkpoint, CheckpointKind, LossBlock
from accsite.apps.training.selectors.alarms import collapses
from accsite.apps.training.selectors.resuming import resume_points
from accsite.apps.training.services import events, points
from accsite.apps.training.services.resuming import mended_plugins
from workers.fork import copies
from workers.job import promises
from workers.job.context import JobContext
from workers.job.control import DatabaseControl, refusal
from workers.job.durable import GivenUp, insist
from workers.job.materials import Materials, load_checkpoint
from workers.job.sinks import Recorder, RecordKeeperLost
from workers.job.stall import Stall
from workers.machine import memory
from workers.ranks.lead import together

log = structlog.get_logger(__name__)


def train(context: JobContext) -> None:
    """Train a job to its end, its stop, or the worker's; raises what ended it otherwise."""
    keep_freed_memory()
    job = context.job
    spec = TrainJobSpec.model_validate(job.spec)
    resumed = newest_intact(context)
    started = None if resumed or job.start_checkpoint is None else load_checkpoint(job.start_checkpoint)
    materials = Materials(spec, resumed, mended_plugins(job, resumed.header.job_step if resumed else 0))
    first = resumed.header.job_step if resumed else 0
    points.truncate(job.pk, first, context.attempt)
    replay = events.replay_commands(job.pk, first)

    for command in replay:
        materials.prepare(command)

    recorder: Recorder

    def refuse(command: Command, error: Exception) -> None:
        recorder.on_command(refusal(command, error, recorder.step))

    def unheard(command: Command) -> None:
        abandon(context, recorder, command)

    stall = Stall(lambda: recorder.step, lambda alarm: recorder.on_alarm(alarm))  # noqa: PLW0108 - made below
    control = DatabaseControl(
        job.pk, replay=replay, prepare=materials.prepare, refuse=refuse, unheard=unheard, watch=stall.look
    )
    recorder = Recorder(
        context.lease, scratch=context.scratch(), on_broken=control.drain, pipe=context.records
    )
    context.lease.when_fenced(control.drain)
    context.interruption.listen(control.drain)
    with control:
        try:
            device = context.device_for(spec.train.device)
            resume_from = resumed.sha256 if resumed else ""
            with together(context, device, resume_from, save=recorder.close, drain=control.drain) as ranks:
                try:
                    trainer = Trainer(
                        spec,
                        materials.datasets,
                        classes=materials.classes,
                        sink=recorder,
                        control=control,
                        start_from=started,
                        resume_from=resumed,
                        device=device,
                        ranks=ranks,
                        collapsed=collapses(job) if resumed else None,
                    )
                    data = trainer.state.data_in_words()
                    log.info(
                        "training", step=first, total=spec.train.steps, device=str(trainer.device), data=data
                    )
                    result = trainer.run()
                finally:
                    copies.end_if_copy()
        except BaseException:
            memory.lift()
            recorder.close()  # points and alarms that led to the failure are kept, too
            raise
        recorder.close()
    settle(context, result)


def settle(context: JobContext, result: TrainResult) -> None:
    """Write how the training ended; raises Fenced if the job is another's by now."""
    pk, attempt = context.job.pk, context.attempt
    outcome: dict[str, Any] = {
        "step": result.step,
        "global_step": result.global_step,
        "steps_per_second": round(result.steps_per_second, 3),
        "seconds": round(result.seconds, 3),
        "losses": result.losses,
        **({"skipped_steps": result.skipped} if result.skipped else {}),
        "precision": result.precision,
        "data": result.data,
        "device": context.device,
    }
    if result.status == "completed":
        promises.succeed(context, outcome, result.message, proof=trained)
        log.info("trained", step=result.step, steps_per_second=outcome["steps_per_second"])
        return
    if result.status == "stopped":
        promises.cancel(context, outcome)
    else:  # drained
        shut_down = context.team.elsewhere.draining or context.worker
        reason = f"{shut_down} was shut down at step {result.step}; nothing is lost"
        back = partial(lifecycle.hand_back, pk, attempt, reason)
        if not insist(back, given_up=context.lease.fenced):
            raise Fenced(pk, attempt)
    log.info(
        "training_ended", status=result.status, step=result.step, steps_per_second=outcome["steps_per_second"]
    )


def abandon(context: JobContext, recorder: Recorder, command: Command) -> NoReturn:
    """End this process though its training thread hangs; what was recorded before is kept."""
    pk, attempt, lost = context.job.pk, context.attempt, context.lease.fenced
    waited = f"the training did not answer for {settings.ACC_STOP_SECONDS:g} s"
    log.error("training_hangs", step=recorder.step, asked=command.kind)
    try:
        recorder.close()
        if command.kind == "stop":
            message = f"stopped on request; {waited} and was ended where it stood, after step {recorder.step}"
            recorded = CommandResult(command, recorder.step, ok=True, message=waited)
            insist(partial(events.record_command_result, pk, attempt, recorded), given_up=lost)
            promises.cancel(context, {}, message)
        else:
            message = f"{context.worker} was shut down; {waited} and goes on from its last checkpoint"
            insist(partial(lifecycle.hand_back, pk, attempt, message), given_up=lost)
    except (GivenUp, Fenced):
        pass
    except RecordKeeperLost as error:
        promises.give_back(context, str(error))
    finally:  # whatever else there was: the worker finds a job that is left unfinished
        frames.flush()
        os._exit(0)


def newest_intact(context: JobContext) -> files.Checkpoint | None:
    """Return the newest checkpoint of this very job whose file is intact; None to begin at its start.

    A damaged one is told as an alarm and the one before it is taken: training on from there gives the same.
    """
    for row in resume_points(context.job):
        try:
            return load_checkpoint(row)
        except CheckpointError as error:
            message = f"{error}; going on from the checkpoint before it"
            log.warning("checkpoint_damaged", checkpoint=row.pk, error=str(error))
            events.record_alarm(context.job.pk, context.attempt, Alarm("checkpoint", row.job_step, message))
    return None


def trained(job: Job, result: dict[str, Any], message: str) -> None:
    """Raise PromiseBroken unless all steps, their loss points and the final checkpoint are there."""
    step = int(result["step"])
    if not message and step < job.total_steps:
        raise promises.PromiseBroken(
            f"the training ended after step {step:,} of {job.total_steps:,}, and nobody stopped it"
        )
    expected = 0
    for start, count in LossBlock.objects.filter(job=job).order_by("start").values_list("start", "count"):
        if start != expected:
            break
        expected += count
    if expected != step:
        raise promises.PromiseBroken(
            f"the job made {step:,} steps, but only the first {expected:,} have their loss points"
        )
    row = Checkpoint.objects.filter(job=job, kind=CheckpointKind.FINAL, job_step=step).order_by("-pk").first()
    if row is None:
        raise promises.PromiseBroken(f"the final checkpoint, of step {step:,}, was not written")
    promises.require_intact(row)

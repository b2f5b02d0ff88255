"""Loss points at rest: appended by the one worker that holds the job, cut exactly at a resume."""

from __future__ import annotations

import math

from django.db import transaction

from acc.messages import PointsHeader, checked
from acc.training.protocols import PointBlock
from accsite.apps.jobs.errors import Fenced
from accsite.apps.jobs.models import Job
from accsite.apps.training import blocks
from accsite.apps.training.errors import Gap
from accsite.apps.training.models import LossBlock

RATE_WINDOW_SECONDS = 3.0
# What an append reads of its job; it comes ten times a second beside the training, which wants the interpreter.
_NEEDED = ("attempt", "step", "total_steps", "points_seq", "points_wall", "steps_per_second")


@transaction.atomic
def append(job_id: int, attempt: int, block: PointBlock) -> PointsHeader:
    """Keep a block of points and move the job's step; return the header of its frame on the wire.

    All of it in one transaction. A block that is kept already (a retry after a lost answer) changes nothing.
    Whenever a multiple of ``CHUNK_STEPS`` is passed, the small rows before it become one row.
    Raises Fenced when this attempt no longer holds the job, Gap when steps are missing before the block.
    """
    steps = blocks.make(block.start, block.series, block.values, block.wall_start, block.wall_end)
    job = _hold(job_id, attempt)
    if steps.start > job.step:
        raise Gap(
            f"loss points from step {steps.start} came for job {job_id}, "
            f"whose points end before step {job.step}"
        )
    if steps.stop > job.step:
        steps = blocks.cut(steps, job.step, steps.stop)
        job.points_seq += 1
        _write(job, steps)
        job.steps_per_second = rate(job, steps)
        job.points_wall = float(steps.clock[-1, 1])
        job.step = steps.stop
        written = (
            Job.objects.filter(pk=job_id)
            .held_by(attempt)
            .update(
                step=job.step,
                points_seq=job.points_seq,
                points_wall=job.points_wall,
                steps_per_second=job.steps_per_second,
            )
        )
        if not written:
            raise Fenced(job_id, attempt)
    header = PointsHeader(
        job=job_id,
        attempt=attempt,
        seq=job.points_seq,
        start=block.start,
        wall=(block.wall_start, block.wall_end),
        series=list(block.series),
        step=job.step,
        total=job.total_steps,
        rate=job.steps_per_second,
    )
    return checked(PointsHeader, header)


@transaction.atomic
def truncate(job_id: int, step: int, attempt: int | None = None) -> None:
    """Forget every point from ``step`` on, also those in the middle of a row: what a resume will make again.

    Raises Fenced when ``attempt`` is given and no longer holds the job, Gap when points before ``step`` are
    missing.
    """
    job = _hold(job_id, attempt)
    if job.step < step:
        raise Gap(f"job {job_id} cannot go on at step {step}: its loss points end before step {job.step}")
    row = LossBlock.objects.filter(job_id=job_id, start__lt=step).order_by("-start").first()
    LossBlock.objects.filter(job_id=job_id, start__gte=step).delete()
    if row is not None and row.start + row.count > step:
        kept = blocks.cut(blocks.load(row.start, row.series, row.values, row.clock), row.start, step)
        LossBlock.objects.filter(pk=row.pk).update(**blocks.fields(kept))
    Job.objects.filter(pk=job_id).update(step=step, steps_per_second=None, points_wall=None)


@transaction.atomic
def compact(job_id: int) -> None:
    """Join the small rows at the end of a job that makes no more points."""
    job = Job.objects.select_for_update().get(pk=job_id)
    rows = _tail(job)
    if len(rows) > 1:
        _replace(job, rows, blocks.join([blocks.load(r.start, r.series, r.values, r.clock) for r in rows]))


def _hold(job_id: int, attempt: int | None) -> Job:
    """Return the job, its row locked to the end of the transaction."""
    jobs = Job.objects.select_for_update()
    if attempt is None:
        return jobs.get(pk=job_id)
    job = jobs.held_by(attempt).only(*_NEEDED).filter(pk=job_id).first()
    if job is None:
        raise Fenced(job_id, attempt)
    return job


def _write(job: Job, steps: blocks.Steps) -> None:
    if steps.stop // blocks.CHUNK_STEPS == job.step // blocks.CHUNK_STEPS:
        LossBlock.objects.create(job=job, attempt=job.attempt, seq=job.points_seq, **blocks.fields(steps))
        return
    rows = _tail(job)
    tail = [blocks.load(row.start, row.series, row.values, row.clock) for row in rows]
    _replace(job, rows, blocks.join([*tail, steps]))


def _tail(job: Job) -> list[LossBlock]:
    """Return the rows after the last multiple of CHUNK_STEPS that the job has passed."""
    settled = job.step // blocks.CHUNK_STEPS * blocks.CHUNK_STEPS
    return list(LossBlock.objects.filter(job_id=job.pk, start__gte=settled).order_by("start"))


def _replace(job: Job, rows: list[LossBlock], steps: blocks.Steps) -> None:
    LossBlock.objects.filter(pk__in=[row.pk for row in rows]).delete()
    LossBlock.objects.bulk_create(
        LossBlock(job=job, attempt=job.attempt, seq=job.points_seq, **blocks.fields(chunk))
        for chunk in blocks.chunks(steps)
    )


def rate(job: Job, steps: blocks.Steps) -> float | None:
    """Return steps per second: a moving average over some RATE_WINDOW_SECONDS."""
    begin, end = float(steps.clock[0, 1]), float(steps.clock[-1, 1])
    made = steps.count
    if job.points_wall is not None:
        begin = job.points_wall
    else:
        made -= 1
    seconds = end - begin
    if seconds <= 0 or made <= 0:
        return job.steps_per_second
    now = made / seconds
    if job.steps_per_second is None:
        return now
    weight = 1 - math.exp(-seconds / RATE_WINDOW_SECONDS)
    return job.steps_per_second + weight * (now - job.steps_per_second)

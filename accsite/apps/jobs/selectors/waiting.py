"""What a queued job waits for, in words."""

from __future__ import annotations

from collections.abc import Sequence

from accsite.apps.jobs import kinds
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.selectors.queue import places
from accsite.apps.jobs.services.placement import Demand, on_gpu, suits
from accsite.apps.jobs.states import HELD, JobState


def waits_for(job: Job, *, serving: list[Worker] | None = None, siblings: Sequence[Job] | None = None) -> str:
    """Return what a queued job waits for; '' for one that is about to be taken, or is not queued.

    serving, siblings: the workers that are online for its queue, and the active jobs of its branch that go one after
    the other, where they have been read already.
    """
    if job.state != JobState.QUEUED:
        return ""
    if serving is None:
        serving = Worker.objects.serving(job.queue)
    if not serving:
        return f"waits: no worker of the queue {job.queue} is online; manage.py worker --queue {job.queue} starts one"
    if siblings is None:
        before = kinds.of(job).before(job).order_by("-pk").first()
    else:
        ahead = [each for each in siblings if each != job and (each.state in HELD or each.pk < job.pk)]
        before = max(ahead, key=lambda each: each.pk, default=None)
    if before is not None:
        return f"waits for job {before.pk}, to go on where that ends"
    asked = Demand.by(job)
    able = [worker for worker in serving if asked.suits(worker)]
    if not able:
        return f"waits: it asks for {asked}, which no worker that is online has"
    return _waits_for_one_of(able, job, asked)


def _waits_for_one_of(able: list[Worker], job: Job, asked: Demand) -> str:
    """Return what hinders the workers that could take a job; '' if nothing does."""
    idle = set(Worker.objects.idle()) & set(able)
    if not idle:
        place = places().get(job.pk)
        if place is None:  # what made the last of them busy is this job, since it was read
            return ""
        return f"waits: place {place} in the queue {job.queue}, and all workers that could take it are busy"
    if not any(suits(job, worker) for worker in idle):
        what = "GPUs" if any(on_gpu(worker) for worker in able) else "processor cores"
        return (
            f"waits until {asked.ranks} {what} are free at once"
            if asked.ranks > 1
            else "waits for a free GPU"
        )
    return ""

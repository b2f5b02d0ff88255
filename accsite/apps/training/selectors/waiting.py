"""What a queued job waits for, in words."""

from __future__ import annotations

from accsite.apps.training.models import Job, JobKind, JobPart, Worker
from accsite.apps.training.selectors.queue import places
from accsite.apps.training.services.placement import Asked, on_gpu, suits
from accsite.apps.training.states import ACTIVE, HELD, JobState


def waits_for(job: Job) -> str:
    """Return what a queued job waits for; '' for one that is about to be taken, or is not queued."""
    if job.state != JobState.QUEUED:
        return ""
    online = Worker.objects.filter(state=Worker.State.ONLINE)
    serving = [worker for worker in online if job.queue in worker.queues]
    if not serving:
        return f"waits: no worker of the queue {job.queue} is online; manage.py worker --queue {job.queue} starts one"
    before = _before_on_branch(job)
    if before is not None:
        return f"waits for job {before.pk}, to go on where that ends"
    asked = Asked.by(job)
    able = [worker for worker in serving if asked.suits(worker)]
    if not able:
        return f"waits: it asks for {asked}, which no worker that is online has"
    return _waits_for_one_of(able, job, asked)


def _waits_for_one_of(able: list[Worker], job: Job, asked: Asked) -> str:
    """Return what hinders the workers that could take a job; '' if nothing does."""
    busy = set(Worker.objects.filter(jobs__state__in=HELD).values_list("pk", flat=True))
    busy |= set(JobPart.objects.live().values_list("worker", flat=True))
    idle = [worker for worker in able if worker.pk not in busy]
    if not idle:
        return f"waits: place {places()[job.pk]} in the queue {job.queue}, and all workers that could take it are busy"
    if not any(suits(job, worker) for worker in idle):
        what = "GPUs" if any(on_gpu(worker) for worker in able) else "processor cores"
        return (
            f"waits until {asked.ranks} {what} are free at once"
            if asked.ranks > 1
            else "waits for a free GPU"
        )
    return ""


def _before_on_branch(job: Job) -> Job | None:
    """Return the older train job of the same branch that is not done, if there is one."""
    if job.kind != JobKind.TRAIN or job.branch_id is None:
        return None
    siblings = Job.objects.filter(branch=job.branch_id, kind=JobKind.TRAIN, state__in=ACTIVE)
    return siblings.filter(pk__lt=job.pk).order_by("-pk").first()

"""What a queued job waits for, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property

from accsite.apps.jobs import kinds
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.selectors.queue import places
from accsite.apps.jobs.services.placement import Demand, on_gpu, suits
from accsite.apps.jobs.states import ACTIVE, HELD, JobState


class Now:
    """The workers and the queues as they are, for several jobs: each is read when it is asked for, and once."""

    @cached_property
    def online(self) -> list[Worker]:
        return list(Worker.objects.filter(state=Worker.State.ONLINE))

    @cached_property
    def idle(self) -> set[Worker]:
        return set(Worker.objects.idle())

    @cached_property
    def places(self) -> dict[int, int]:
        return places()

    def serving(self, queue: str) -> list[Worker]:
        """Return the workers that are online and serve a queue."""
        return [worker for worker in self.online if queue in worker.queues]


def what_each_waits_for(jobs: Sequence[Job]) -> list[str]:
    """Return what each of some queued jobs waits for, as ``waits_for`` does, in as many queries as for one."""
    now = Now()
    ordered = {job.kind for job in jobs if type(kinds.of(job)).before is not kinds.Kind.before}
    siblings: dict[tuple[int | None, str], list[Job]] = defaultdict(list)
    if ordered:
        branches = {job.branch_id for job in jobs if job.kind in ordered}
        rows = Job.objects.filter(branch__in=branches, kind__in=ordered, state__in=ACTIVE)
        for row in rows.only("branch", "kind", "state"):
            siblings[row.branch_id, row.kind].append(row)
    return [waits_for(job, siblings=siblings[job.branch_id, job.kind], now=now) for job in jobs]


def waits_for(job: Job, *, siblings: Sequence[Job] | None = None, now: Now | None = None) -> str:
    """Return what a queued job waits for; '' for one that is about to be taken, or is not queued.

    siblings, now: the active jobs of its branch that go one after the other, and the workers and queues, where they
    are read for several jobs.
    """
    if job.state != JobState.QUEUED:
        return ""
    now = now or Now()
    serving = now.serving(job.queue)
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
    return _waits_for_one_of(able, job, asked, now)


def _waits_for_one_of(able: list[Worker], job: Job, asked: Demand, now: Now) -> str:
    """Return what hinders the workers that could take a job; '' if nothing does."""
    idle = now.idle & set(able)
    if not idle:
        place = now.places.get(job.pk)
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

"""Reads jobs as pages, API and command line show them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from acc import messages
from accsite.apps.jobs.models import Job, JobEvent, ranks_in_words
from accsite.apps.jobs.selectors.queue import places
from accsite.apps.jobs.states import ACTIVE, HELD, TERMINAL, JobState

PENDING = JobEvent.Status.PENDING
VERBS = {"pause": "pausing", "resume": "resuming", "stop": "stopping"}


def job_state(job: Job) -> messages.Job:
    """Return a job as plain JSON data: the same in the API, in the socket's state ping and in pages."""
    return job_states([job])[0]


def job_states(jobs: Sequence[Job]) -> list[messages.Job]:
    """Return ``job_state`` of each job, with two queries for them all."""
    asked: dict[int, list[str]] = defaultdict(list)
    pending = JobEvent.objects.filter(job__in=[job for job in jobs if job.is_active], status=PENDING)
    for job_id, kind in pending.order_by("id").values_list("job_id", "kind"):
        asked[job_id].append(kind)
    waiting = places() if any(job.state == JobState.QUEUED for job in jobs) else {}
    return [_state(job, asked.get(job.pk, []), waiting.get(job.pk)) for job in jobs]


def _state(job: Job, asked: list[str], place: int | None) -> messages.Job:
    branch = job.branch
    total = job.total_steps
    end = job.finished_at or timezone.now()
    words = job.words
    return {
        "id": job.pk,
        "kind": job.kind,
        "title": job.title,
        "state": job.state,
        "state_label": words.label,
        "active": job.state in ACTIVE,
        "held": job.state in HELD,
        "ended": job.state in TERMINAL,
        "attempt": job.attempt,
        "workers_lost": job.workers_lost,
        "queue": job.queue,
        "place": place,
        "experiment": branch.experiment.slug if branch else None,
        "branch": branch.pk if branch else None,
        "branch_slug": branch.slug if branch else None,
        "checkpoint": job.checkpoint_id,
        "step": job.step,
        "total_steps": total,
        "progress": min(1.0, job.step / total) if total else None,
        "rate": words.rate,
        "eta_seconds": words.eta_seconds,
        "elapsed_seconds": (end - job.started_at).total_seconds() if job.started_at else None,
        "device": job.device,
        "worker": job.worker.name if job.worker else None,
        "asked": asked,
        "message": job.message,
        "result": job.result,
        "created_at": _iso(job.created_at),
        "started_at": _iso(job.started_at),
        "finished_at": _iso(job.finished_at),
    }


def asked(job: Job) -> str:
    """Return what a job has been asked to do and has not done yet, in a word; empty if nothing."""
    pending = job.events.filter(status=JobEvent.Status.PENDING, kind__in=VERBS).order_by("-id").first()
    return VERBS[pending.kind] if pending else ""


def held_places(job: Job) -> list[str]:
    """Return by which workers, on which devices, a job was held last, in words; its ranks if there are several workers.

    [] for a job that nobody has claimed.
    """
    own = f"{job.worker.name} ({job.device})" if job.worker else ""
    parts = list(job.parts.filter(attempt=job.attempt).select_related("worker"))
    if not parts:
        return [own] if own else []
    first = ranks_in_words(0, parts[0].first_rank)
    others = [
        f"{part.ranks}: {part.worker.name if part.worker else 'removed'} "
        f"({', '.join(dict.fromkeys(part.devices))})"
        for part in parts
    ]
    return [f"{first}: {own or 'no worker'}", *others]


def _iso(moment: Any) -> str | None:
    return moment.isoformat() if moment is not None else None

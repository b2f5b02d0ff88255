"""Devices: the workers, what waits for them, and what operators ask of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from acc.errors import InvalidInput
from accsite.actions import perform
from accsite.apps.access.selectors import may_operate
from accsite.apps.jobs.access import ONLY_OPERATORS
from accsite.apps.jobs.actions.drain_worker import DrainWorker
from accsite.apps.jobs.actions.forget_worker import ForgetWorker
from accsite.apps.jobs.actions.resume_worker import ResumeWorker
from accsite.apps.jobs.actions.retire_worker import RetireWorker
from accsite.apps.jobs.actions.stop_job import StopJob
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.selectors.queue import places, waiting
from accsite.apps.jobs.selectors.workers import worker_rows
from accsite.apps.jobs.services import queue
from accsite.apps.live import selectors as live
from accsite.pages import REFUSED, back, is_partial

WORKER_VERBS = {kind.verb: kind for kind in (DrainWorker, ResumeWorker, RetireWorker, ForgetWorker)}


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Show each worker with its device, figures and job, and the jobs that wait."""
    return render(request, "jobs/devices.html", context(request))


@require_GET
def devices_panel(request: HttpRequest, name: str) -> HttpResponse:
    if name not in ("workers", "queue"):
        raise Http404(f"the devices page has no panel {name!r}")
    return render(request, f"jobs/panels/{name}.html", context(request))


@require_POST
def change_worker(request: HttpRequest, pk: int) -> HttpResponse:
    """Drain, resume, retire or forget a worker (operators)."""
    operator(request)
    worker = get_object_or_404(Worker, pk=pk)
    verb = request.POST.get("verb", "")

    def change() -> None:
        if verb not in WORKER_VERBS:
            raise InvalidInput({"verb": f"{verb!r} is refused; choose one of: {', '.join(WORKER_VERBS)}"})
        perform(WORKER_VERBS[verb], actor=request.user, thing=worker, data={})

    return answer(request, "workers", change)


@require_POST
def change_queue(request: HttpRequest, pk: int) -> HttpResponse:
    """Move a waiting job, set its priority, or cancel it (operators)."""
    operator(request)
    job = get_object_or_404(Job.objects.visible_to(request.user), pk=pk)
    verb = request.POST.get("verb", "")

    def change() -> None:
        if verb == "cancel":
            perform(StopJob, actor=request.user, thing=job, data={})
        elif verb == "priority":
            queue.set_priority(job=job, priority=request.POST.get("priority", ""))
        else:
            queue.move(job=job, direction=verb)

    return answer(request, "queue", change)


def operator(request: HttpRequest) -> None:
    """Raise PermissionDenied unless the user may operate the site."""
    if not may_operate(request.user):
        raise PermissionDenied(ONLY_OPERATORS)


def answer(request: HttpRequest, name: str, change: Callable[[], None]) -> HttpResponse:
    """Make a change and return its panel, with the refusal if there is one; without script, the page."""
    refused = ""
    try:
        change()
    except InvalidInput as error:
        refused = str(error)
    if is_partial(request):
        shown = {**context(request), "refused": refused}
        return render(request, f"jobs/panels/{name}.html", shown, status=REFUSED if refused else 200)
    if refused:
        messages.error(request, refused)
    return back(request, reverse("jobs:devices"))


def context(request: HttpRequest) -> dict[str, Any]:
    """Return what the devices page shows."""
    versions = live.versions(["jobs", "workers"])
    rows = worker_rows(seen_by=request.user)
    place = places()
    queued = list(waiting().filter(pk__in=Job.objects.visible_to(request.user)))
    return {
        "versions": versions,
        "place": "devices",
        "workers": rows,
        "online": sum(row.worker.state == Worker.State.ONLINE for row in rows),
        "queued": [(place.get(job.pk, 0), job) for job in queued],
        "operator": may_operate(request.user),
        "workers_url": reverse("jobs:devices-panel", args=["workers"]),
        "queue_url": reverse("jobs:devices-panel", args=["queue"]),
    }

"""Jobs: the list, one job, its panels, and what may be asked of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from acc.errors import InvalidInput
from accsite.actions import ActionType, perform
from accsite.apps.jobs.actions.pause_job import PauseJob
from accsite.apps.jobs.actions.stop_job import StopJob
from accsite.apps.jobs.log_pages import log_panel, log_urls
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.jobs.selectors import held_places, logs
from accsite.apps.jobs.states import JobState
from accsite.apps.live import selectors as live
from accsite.apps.training import selectors
from accsite.apps.training.actions.resume_job import ResumeJob
from accsite.apps.training.pages import charts as chart_pages
from accsite.apps.training.pages import jobs as job_pages
from accsite.apps.training.pages.job_list import list_context
from accsite.apps.training.pages.replays import replay_changes
from accsite.apps.training.pages.train_facts import train_facts
from accsite.apps.training.selectors.alarms import alarms, grave_alarms
from accsite.apps.training.selectors.resuming import resume_point
from accsite.apps.training.services import jobs as job_services
from accsite.apps.training.views.common import panel, points_url
from accsite.ids import row_id
from accsite.pages import REFUSED, actor, back, is_partial

JOB_PANELS = ("job", "tiles", "alarms", "events", "replayed", "log", "job_notice", "actions")


class JobTab(NamedTuple):
    """A part of a job's page: what its tab says, and its panels."""

    label: str
    panels: tuple[str, ...]


JOB_TABS = {
    "": JobTab("Overview", tuple(name for name in JOB_PANELS if name != "log")),
    "log": JobTab("Log", ("job", "log", "job_notice")),
    "settings": JobTab("Settings", ("job", "job_notice")),
}
BUTTONS: dict[str, ActionType] = {"cancel": StopJob, "stop": StopJob, "pause": PauseJob}


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List the jobs, newest first; ``?state=`` and ``?mine=1`` choose, ``?page=`` turns, ``?previews=1`` adds."""
    context = list_context(request)
    if is_partial(request):
        return panel(request, "all_jobs", context)
    return render(request, "training/jobs.html", {**context, "place": "jobs"})


@require_GET
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one job: its state, figures, curves, events, and why it failed; ``?tab=`` its log, or its settings."""
    tab = request.GET.get("tab", "")
    tab = tab if tab in JOB_TABS else ""
    page = reverse("training:job", args=[pk])
    told = job_context(request, pk, JOB_TABS[tab].panels)
    context = {
        **told,
        **(page_context(told["job"]) if tab != "log" else {}),
        "tab": tab,
        "tabs": [(f"{page}?tab={each}" if each else page, each, JOB_TABS[each].label) for each in JOB_TABS],
    }
    return render(request, "training/job.html", {**context, "place": "jobs"})


@require_GET
def detail_panel(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    if name not in JOB_PANELS:
        raise Http404(f"a job's page has no panel {name!r}")
    return panel(request, name, job_context(request, pk, (name,)))


def job_context(request: HttpRequest, pk: int, panels: tuple[str, ...]) -> dict[str, Any]:
    """Return what the named panels of a job's page need; the versions of topics are read before anything else."""
    topic = f"job:{pk}"
    versions = live.versions([topic, f"log:{pk}"])
    job = job_pages.find_job(request.user, pk)
    urls = {name: reverse("training:job-panel", args=[job.pk, name]) for name in JOB_PANELS}
    context: dict[str, Any] = {
        "versions": versions,
        "job": job,
        "about": {"job": job.pk},
        "notice": job.state == JobState.FAILED,
        "topic": topic,
        "points_url": points_url(job),
        "losses_cli": f"jobs losses {job.pk}",
        "notice_url": urls["job_notice"],
        "head_url": urls["job"],
        "tiles_url": urls["tiles"],
        "alarms_url": urls["alarms"],
        "events_url": urls["events"],
        "replayed_url": urls["replayed"],
        **log_urls(job, request.GET),
    }
    if "job" in panels:
        context["grave"] = grave_alarms([job]).get(job.pk, "")
    if "log" in panels:
        context["log"] = log_panel(job, request.GET)
    if "job_notice" in panels:
        context["last_lines"] = logs.last_lines(job) if job.state == JobState.FAILED else []
        context["resume_point"] = resume_point(job)
    if "tiles" in panels:
        lines = chart_pages.legend(job.branch, job) if job.makes_points else []
        context |= {"legend": lines, "first_look": chart_pages.first_look(job, lines, context["points_url"])}
    if "alarms" in panels:
        context["alarms"] = alarms(job)
    if "events" in panels:
        context["events"] = job_pages.events(job, job_pages.task_names(job.branch))
    if "replayed" in panels:
        replayed = selectors.replayed(job) if job.kind == JobKind.REPLAY else None
        context |= {"replayed": replayed, "replay_changes": replay_changes(replayed)}
    return context


def page_context(job: Job) -> dict[str, Any]:
    """Return what the page of a job shows beside its panels."""
    checkpoint = job.checkpoints.order_by("-job_step", "-id").first()
    again: dict[str, Any] | None = None
    again_cli: list[str] = []
    if job.kind == JobKind.TRAIN and job.branch is not None:
        again, again_cli = chart_pages.training_again(job.branch, job.spec["train"])
    return {
        "again": again,
        "again_cli": again_cli,
        "places": held_places(job),
        "checkpoint": checkpoint,
        "taken_over": job_pages.taken_over(job),
        "rows_query": job_pages.rows_query(job),
        "trained": train_facts(job) if job.kind == JobKind.TRAIN else [],
        "losses": job_pages.named_losses(checkpoint.losses, job.spec) if checkpoint else [],
        "spec_text": job_pages.spec_text(job),
        "settings": job_pages.spec_parts(job),
    }


@require_GET
def download_log(request: HttpRequest, pk: int, attempt: int, rank: int) -> StreamingHttpResponse:
    """Send what a rank of a job printed in one attempt, as it came."""
    job = job_pages.find_job(request.user, pk)
    try:
        _, stream = logs.choose(job, attempt, rank)
    except InvalidInput as error:
        raise Http404(str(error)) from None
    if stream is None:
        raise Http404(f"job {pk} printed nothing in attempt {attempt}")
    # Never a page: what a plugin prints may be HTML.
    response = StreamingHttpResponse(logs.raw(job, stream), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="job-{pk}-attempt-{attempt}-rank-{rank}.log"'
    return response


@require_GET
def top_job(request: HttpRequest) -> HttpResponse:
    """Return the job of the top bar of a page; ``?branch=`` or ``?job=`` says what that page is about."""
    return panel(request, "topjob", above(request))


def above(request: HttpRequest) -> dict[str, Any]:
    """Return what the top bar shows of jobs, on the page that asks."""
    asked = {name: row_id(request.GET.get(name, "")) for name in ("branch", "job")}
    about = {name: pk for name, pk in asked.items() if pk}
    return job_pages.top_job(request.user, **about)


@require_POST
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a job that failed or was stopped go on at its newest checkpoint."""
    job = job_pages.find_job(request.user, pk)
    try:
        job = perform(ResumeJob, actor=actor(request), thing=job, data={})
        messages.success(request, f"Job {job.pk}: {job.message or 'resumed'}.")
    except InvalidInput as error:
        messages.error(request, str(error))
    return back(request, reverse("training:job", args=[pk]))


@require_POST
def control(request: HttpRequest, pk: int) -> HttpResponse:
    """Pause, resume, stop or cancel a job."""
    job = job_pages.find_job(request.user, pk)
    kind = request.POST.get("kind", "")
    try:
        if kind in BUTTONS:
            perform(BUTTONS[kind], actor=actor(request), thing=job, data={})
        else:  # going on from a pause is less than to resume, which takes up what has ended, too
            job_services.request_control(actor=actor(request), job=job, kind=kind, payload={})
    except InvalidInput as error:
        if is_partial(request):
            return panel(request, "topjob", {**above(request), "refused": str(error)}, status=REFUSED)
        messages.error(request, str(error))
    if is_partial(request):
        return panel(request, "topjob", above(request))
    return back(request, reverse("training:job", args=[pk]))

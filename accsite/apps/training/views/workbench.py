"""The workbench of a branch: its chart, tasks, training form, jobs and events, whole or panel by panel."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from acc.errors import InvalidInput
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import JobKind
from accsite.apps.jobs.selectors.workers import offered_devices
from accsite.apps.live import selectors as live
from accsite.apps.training.forms.train import TrainForm
from accsite.apps.training.models import Branch
from accsite.apps.training.pages import charts as chart_pages
from accsite.apps.training.pages import jobs as job_pages
from accsite.apps.training.pages import lines as line_pages
from accsite.apps.training.pages import rate as rate_pages
from accsite.apps.training.pages import tasks as task_pages
from accsite.apps.training.selectors.alarms import alarms, grave_alarms
from accsite.apps.training.selectors.resuming import ahead, interrupted
from accsite.apps.training.selectors.steered import COMMANDS
from accsite.apps.training.services import jobs as job_services
from accsite.apps.training.views.common import bench_url, panel, points_url
from accsite.ids import row_id
from accsite.pages import REFUSED, actor, is_partial

PANELS = (
    "head",
    "job",
    "tiles",
    "alarms",
    "tasks",
    "rate",
    "start",
    "train",
    "sent",
    "interrupted",
    "jobs",
    "events",
)


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """Go to the branch worked on last, or welcome a newcomer."""
    branch = job_pages.current_branch(request.user)
    if branch is not None:
        return redirect(bench_url(branch))
    return render(
        request, "training/welcome.html", {"place": "workbench", "datasets": Dataset.objects.count()}
    )


@require_GET
def workbench(request: HttpRequest, experiment: str, branch: str) -> HttpResponse:
    """Show the workbench of a branch; ``?job=`` holds it to one train job."""
    found = job_pages.find_branch(request.user, experiment, branch)
    return render(request, "training/workbench.html", bench_context(request, found, PANELS))


@require_GET
def workbench_panel(request: HttpRequest, experiment: str, branch: str, name: str) -> HttpResponse:
    """Return one panel of a workbench as it is now."""
    if name not in PANELS:
        raise Http404(f"a workbench has no panel {name!r}; it has {', '.join(PANELS)}")
    found = job_pages.find_branch(request.user, experiment, branch)
    if name == "sent":
        return panel(request, name, sent(found, row_id(request.GET.get("sent", ""))))
    return panel(request, name, bench_context(request, found, (name,)))


@require_POST
def train(request: HttpRequest, experiment: str, branch: str) -> HttpResponse:
    """Submit a train job; what is wrong with it is shown beside its fields, with the values kept."""
    found = job_pages.find_branch(request.user, experiment, branch)
    form = TrainForm(request.POST)
    payload = form.payload()
    key = payload.pop("idempotency_key", None)
    try:
        job = job_services.submit_training(
            actor=actor(request), branch=found, train=payload, idempotency_key=key
        )
    except InvalidInput as error:
        form.refuse(error)
        return refused(request, found, "train", train_form=form)
    if not is_partial(request):
        return redirect(bench_url(found))
    context, told = bench_context(request, found, ("train",)), sent(found, job.pk)
    versions = {**context["versions"], **told["versions"]}
    return panel(request, "train", {**context, **told, "versions": versions})


def sent(branch: Branch, pk: int | None) -> dict[str, Any]:
    """Return what the sentence needs that tells how the job stands which was just submitted."""
    topic = f"job:{pk}" if pk else ""
    versions = live.versions([topic]) if topic else {}
    job = branch.jobs.filter(pk=pk).first() if pk else None
    url = reverse("training:workbench-panel", args=[branch.experiment.slug, branch.slug, "sent"])
    return {
        "sent": job,
        "sent_url": f"{url}?sent={job.pk}" if job else url,
        "sent_topic": topic if job else "",
        "versions": versions,
    }


@require_POST
def rate(request: HttpRequest, experiment: str, branch: str) -> HttpResponse:
    """Change the learning rate or the clipping of the job that the form was made for.

    What is wrong is shown beside the field.
    """
    found = job_pages.find_branch(request.user, experiment, branch)
    name = "grad_clip_norm" if "grad_clip_norm" in request.POST else "lr"
    named, typed = request.POST.get("job", ""), request.POST.get(name, "").strip()
    job = found.jobs.filter(kind=JobKind.TRAIN, pk=row_id(named)).first()
    if job is None:
        raise Http404(f"there is no train job {named!r} on this branch")
    try:
        if rate_pages.changes(job, name, typed):
            kind = COMMANDS[name]
            job_services.request_control(actor=actor(request), job=job, kind=kind, payload={name: typed})
    except InvalidInput as error:
        return refused(request, found, "rate", rate_error={name: str(error)})
    if not is_partial(request):
        return redirect(bench_url(found))
    return panel(request, "rate", bench_context(request, found, ("rate",)))


def refused(request: HttpRequest, branch: Branch, name: str, **extra: Any) -> HttpResponse:
    """Return the panel, or the whole page without a script, with what was refused and why."""
    if is_partial(request):
        return panel(request, name, bench_context(request, branch, (name,), **extra), status=REFUSED)
    context = bench_context(request, branch, PANELS, **extra)
    return render(request, "training/workbench.html", context, status=REFUSED)


def bench_context(
    request: HttpRequest, branch: Branch, panels: tuple[str, ...], **extra: Any
) -> dict[str, Any]:
    """Return what the named panels need; the versions of topics are read before anything else."""
    chosen = request.GET.get("job")
    topics = {
        "tasks_topic": f"tasks:{branch.pk}",
        "checkpoints_topic": f"checkpoints:{branch.experiment_id}",
        "jobs_topic": "jobs",
    }
    versions = live.versions([*topics.values(), "workers", "registry", f"evaluations:{branch.pk}"])
    branch.refresh_from_db(from_queryset=Branch.objects.select_related("experiment", "head"))
    job = job_pages.bench_job(branch, chosen)
    topics["topic"] = topic = f"job:{job.pk}" if job else ""
    if job:  # what changes of its row changes "jobs", too
        versions |= live.versions([topic])
    context: dict[str, Any] = {
        "versions": versions,
        "place": "workbench",
        "experiment": branch.experiment,
        "branch": branch,
        "about": {"branch": branch.pk},
        "job": job,
        "waiting": job_pages.waiting_behind(branch, job) if "job" in panels else [],
        "pinned": bool(chosen),
        **topics,
        "bench_url": bench_url(branch),
        "points_url": points_url(job),
        "losses_cli": f"jobs losses {job.pk}" if job else "",
        **urls(branch, chosen),
    }
    if "tiles" in panels:
        lines = chart_pages.ordered(chart_pages.legend(branch, job), request.COOKIES.get("tiles", ""))
        context |= {"legend": lines, "first_look": chart_pages.first_look(job, lines, context["points_url"])}
    if "tasks" in panels:
        context |= _tasks_context(request, branch, extra)
    if "job" in panels:
        context["line"] = line_pages.line(branch, job)
    if "rate" in panels:
        context["rate"] = rate_pages.rate(branch)
        context["rate_error"] = extra.get("rate_error")
    if "start" in panels or "train" in panels:
        context["ahead"] = ahead(branch)
    if "interrupted" in panels or "train" in panels:
        context["resume_point"] = interrupted(branch)
    if "train" in panels:
        context["train_form"] = extra.get("train_form") or TrainForm.for_branch(branch)
        context["more"] = "more" in request.GET or "more" in request.POST or context["train_form"].more_errors
        context["no_worker"] = not offered_devices()
        context["train_request"], context["train_cli"] = chart_pages.training_again(branch)
    if "jobs" in panels:
        context["jobs"] = chart_pages.recent_jobs(branch)
    if "alarms" in panels:
        context["alarms"] = alarms(job)
    if {"alarms", "job"} & set(panels):
        context["grave"] = grave_alarms([job]).get(job.pk, "") if job else ""
    if "events" in panels:
        context["events"] = job_pages.events(job, job_pages.task_names(branch))
    return context


def _tasks_context(request: HttpRequest, branch: Branch, extra: dict[str, Any]) -> dict[str, Any]:
    opened = [str(pk) for pk in extra.get("opened") or request.GET.getlist("open") or []]
    rows = task_pages.tasks(branch, opened)
    for row in rows:
        if row.task.pk == extra.get("refused_task"):
            row.error = extra["task_error"]
    return {
        "tasks": rows,
        "undo": task_pages.just_removed(branch),
        "unfit": task_pages.refused_tasks(branch),
        "lone": task_pages.lone_weight(branch, rows),
    }


def urls(branch: Branch, chosen: str | None) -> dict[str, str]:
    """Return the addresses that the panels of a workbench fetch and post."""
    where = [branch.experiment.slug, branch.slug]
    pin = f"?job={row_id(chosen)}" if chosen else ""
    panels = {name: reverse("training:workbench-panel", args=[*where, name]) for name in PANELS}
    return {
        "headchip_url": panels["head"],
        "head_url": panels["job"] + pin,
        "tiles_url": panels["tiles"] + pin,
        "alarms_url": panels["alarms"] + pin,
        "events_url": panels["events"] + pin,
        "jobs_url": panels["jobs"] + pin,
        "tasks_url": panels["tasks"],
        "rate_url": panels["rate"],
        "rate_post": reverse("training:rate", args=where),
        "train_url": panels["train"],
        "start_url": panels["start"] + pin,
        "interrupted_url": panels["interrupted"] + pin,
        "train_post": reverse("training:train", args=where),
        "add_url": reverse("training:task-add", args=where),
    }

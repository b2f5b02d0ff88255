"""The tasks of a branch: the form of a new one, and what can be done to each."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from acc.errors import InvalidInput
from accsite.apps.jobs.models import JobEvent
from accsite.apps.live import selectors as live
from accsite.apps.training.forms.tasks import TaskForm, of_task
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.pages import jobs as job_pages
from accsite.apps.training.pages import tasks as task_pages
from accsite.apps.training.services import tasks as services
from accsite.apps.training.views.common import bench_url, panel
from accsite.apps.training.views.workbench import PANELS, bench_context
from accsite.ids import row_id
from accsite.pages import REFUSED, actor, back, is_partial


@require_http_methods(["GET", "POST"])
def add(request: HttpRequest, experiment: str, branch: str) -> HttpResponse:
    """Show the form of a new task with what is filled in so far, or attach the task to the branch.

    ``?again=<task>``: what became of a task that was added; if a running job refused it, the form that made it
    with the reason beside its field. ``?close``: no form.
    """
    found = job_pages.find_branch(request.user, experiment, branch)
    if request.method == "POST":
        return _attach(request, found)
    if "close" in request.GET:
        return panel(request, "task_add", context(found))
    if "again" in request.GET:
        return _again(request, found, request.GET["again"])
    return _form(request, found, TaskForm(found, values=request.GET))


def _attach(request: HttpRequest, branch: Branch) -> HttpResponse:
    form = TaskForm(branch, request.POST)
    try:
        task = services.add_task(actor=actor(request), branch=branch, **form.arguments())
    except InvalidInput as error:
        form.refuse(error)
        return _form(request, branch, form, status=REFUSED)
    if not is_partial(request):
        return back(request, bench_url(branch))
    return _again(request, branch, str(task.pk))


def _again(request: HttpRequest, branch: Branch, pk: str) -> HttpResponse:
    """Return what became of a task that was added: it waits for a job, it is there, or it was refused."""
    told = context(branch)
    task = branch.tasks.select_related("dataset").filter(pk=row_id(pk)).first()
    if task is None:
        raise Http404(f"branch {branch} never had a task {pk}")
    event = task_pages.newest_commands(branch).get(task.key)
    if event is not None and event.kind == "add_task":
        if event.status == JobEvent.Status.PENDING:
            return panel(
                request,
                "task_add",
                {**told, "adding": task, "event": event, "again": f"?again={task.pk}"},
            )
        if event.status == JobEvent.Status.REFUSED and task.removed_at is not None:
            form = TaskForm(branch, of_task(task))
            where, colon, sentence = event.message.partition(": ")
            known = bool(colon) and where.replace(".", "").replace("_", "").isalnum()
            form.refuse(InvalidInput({where: sentence} if known else {"__all__": event.message}))
            return _form(request, branch, form)
    return panel(request, "task_add", told)


def _form(request: HttpRequest, branch: Branch, form: TaskForm, status: int = 200) -> HttpResponse:
    shown = {**context(branch), "add_form": form}
    if is_partial(request):
        return panel(request, "task_add", shown, status=status)
    return render(request, "training/task_new.html", shown, status=status)


@require_http_methods(["GET", "POST"])
def one(request: HttpRequest, experiment: str, branch: str, pk: int) -> HttpResponse:
    """Show all that can be done to a task, or do it: weight, on or off, place, removal and its undoing."""
    found = job_pages.find_branch(request.user, experiment, branch)
    task = found.tasks.select_related("dataset").filter(pk=pk).first()
    if task is None or (task.removed_at is not None and "restore" not in request.POST):
        raise Http404(f"branch {found} has no task {pk}")
    if request.method == "GET":
        return _shown(request, found, opened=[str(pk)])
    opened = request.POST.getlist("open")
    try:
        change(request, task)
    except InvalidInput as error:
        return _shown(request, found, opened=opened, refused=(pk, error), status=REFUSED)
    if not is_partial(request):
        return back(request, bench_url(found))
    return _shown(request, found, opened=opened)


def change(request: HttpRequest, task: Task) -> None:
    """Apply what the form asks of a task."""
    data, who = request.POST, actor(request)
    if "enabled" in data:
        services.set_enabled(actor=who, task=task, enabled=data["enabled"] == "1")
    elif "remove" in data:
        services.remove_task(actor=who, task=task)
    elif "restore" in data:
        services.restore_task(actor=who, task=task)
    elif "move" in data:
        services.move_task(task=task, position=data["move"])
    elif "weight" in data:
        try:
            weight = float(data["weight"])
        except ValueError:
            raise InvalidInput(
                {"weight": f"{data['weight']!r} is not a number; give a weight of 0 or more"}
            ) from None
        services.set_weight(actor=who, task=task, weight=weight)
    else:
        raise InvalidInput(
            {"__all__": "the form asks for nothing; send weight, enabled, move, remove or restore"}
        )


def _shown(
    request: HttpRequest,
    branch: Branch,
    *,
    opened: list[str],
    refused: tuple[int, InvalidInput] | None = None,
    status: int = 200,
) -> HttpResponse:
    """Return the panel of tasks, or without a script the whole page, with what was refused and why."""
    extra: dict[str, Any] = {"opened": opened}
    if refused is not None:
        extra |= {"refused_task": refused[0], "task_error": str(refused[1])}
    if is_partial(request):
        return panel(request, "tasks", bench_context(request, branch, ("tasks",), **extra), status=status)
    return render(
        request, "training/workbench.html", bench_context(request, branch, PANELS, **extra), status=status
    )


def context(branch: Branch) -> dict[str, Any]:
    """Return what the place of the new task's form needs; versions are read before anything else."""
    where = [branch.experiment.slug, branch.slug]
    return {
        "versions": live.versions(["registry", "datasets", f"tasks:{branch.pk}"]),
        "place": "workbench",
        "experiment": branch.experiment,
        "branch": branch,
        "about": {"branch": branch.pk},
        "bench_url": bench_url(branch),
        "add_url": reverse("training:task-add", args=where),
        "tasks_topic": f"tasks:{branch.pk}",
    }

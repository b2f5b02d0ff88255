"""The table of runs, the curves beside it, what is done to several runs at once, and saved views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from acc.errors import AccError, InvalidInput
from accsite.actions import perform
from accsite.apps.evaluation.pages.compare import NAMES
from accsite.apps.jobs.models import Job
from accsite.apps.runs import pages, selectors, services
from accsite.apps.runs.access import views_of
from accsite.apps.training.models import Checkpoint
from accsite.apps.training.selectors.curves import curves as curves_of
from accsite.ids import row_id
from accsite.pages import REFUSED, actor, back, is_partial

COMPARE = "compare"
MOST_AT_ONCE = 200
BUTTONS = ("by", "turn", "eyes", "earlier", "later")
"""What a button of the table adds to the address; without a script, the page has the address that comes of it."""


@require_GET
def runs(request: HttpRequest) -> HttpResponse:
    """Show the runs that the address asks for: ``filter``, ``sort``, ``group``, ``c`` (columns), ``eye``, ``page``."""
    context = pages.table_context(request)
    if not is_partial(request) and set(request.GET) & set(BUTTONS):
        return redirect(context["asked"].address)
    status = REFUSED if context["table"].refused else 200
    if is_partial(request):
        return render(request, "runs/panel.html", context, status=status)
    return render(request, "runs/runs.html", {**context, "place": "runs"}, status=status)


@require_GET
def curves(request: HttpRequest) -> HttpResponse:
    """Return the curves of the runs or groups whose eyes are open, as JSON: one axis, and of each line its means."""
    asked = pages.Asked.of(request.GET)
    visible = selectors.all_runs(request.user)
    try:
        lines = _lines(request, asked, visible)
    except InvalidInput as error:
        return JsonResponse({"errors": error.fields}, status=REFUSED)
    found = curves_of(lines, asked.curve)
    return JsonResponse(found.as_json(), headers={"Cache-Control": "no-store"})


def _lines(request: HttpRequest, asked: pages.Asked, visible: Any) -> list[tuple[str, str, Sequence[int]]]:
    if asked.group:
        known = selectors.columns_of(request.user)
        found = selectors.groups(selectors.matching(visible, known, asked.filter), known, [], asked.group)
        groups = {group.key: group for group in found.groups}
        return [(eye, groups[eye].label, groups[eye].runs) for eye in asked.eyes if eye in groups]
    ids = [pk for eye in asked.eyes if (pk := row_id(eye))]
    seen = set(visible.filter(pk__in=ids).values_list("pk", flat=True))
    return [(str(pk), f"run {pk}", (pk,)) for pk in ids if pk in seen]


@require_POST
def act(request: HttpRequest) -> HttpResponse:
    """Do to each chosen run what a button says, or lead to their comparison; tell of each that could not be done."""
    ids = [pk for text in request.POST.getlist("run")[:MOST_AT_ONCE] if (pk := row_id(text))]
    chosen = list(Job.objects.visible_to(request.user).filter(pk__in=ids, run__isnull=False).order_by("pk"))
    verb = request.POST.get("do", "")
    if not chosen:
        messages.error(request, "No run is chosen: tick some, then press again.")
        return back(request, reverse("runs:runs"))
    if verb == COMPARE:
        return _compared(request, chosen)
    kind = pages.acts(request.user).get(verb)
    if kind is None:
        messages.error(request, f"{verb[:40]!r} cannot be done to runs.")
        return back(request, reverse("runs:runs"))
    done = []
    for job in chosen:
        try:
            perform(kind, actor=actor(request), thing=job, data={})
            done.append(job.pk)
        except (AccError, InvalidInput, PermissionDenied) as error:
            messages.error(request, f"Run {job.pk}: {error}")
    if done:
        several = "runs" if len(done) > 1 else "run"
        messages.success(request, f"{kind.label}: asked of {several} {', '.join(map(str, done))}.")
    return back(request, reverse("runs:runs"))


def _compared(request: HttpRequest, chosen: Sequence[Job]) -> HttpResponse:
    newest = {}
    nodes = Checkpoint.objects.filter(job__in=chosen).order_by("job_step", "pk")
    for job, pk in nodes.values_list("job", "pk"):
        newest[job] = pk
    if len(newest) < 2:
        messages.error(request, "Comparing needs two runs that have saved a checkpoint.")
        return back(request, reverse("runs:runs"))
    picked = [("pick", newest[job.pk]) for job in chosen if job.pk in newest]
    if len(picked) > len(NAMES):
        messages.warning(request, f"Of the {len(picked)} chosen runs the first {len(NAMES)} are compared.")
        picked = picked[: len(NAMES)]
    return redirect(f"{reverse('evaluation:compare')}?{urlencode(picked)}")


@require_POST
def save_view(request: HttpRequest) -> HttpResponse:
    """Keep what the table asks for under a name."""
    asked = pages.Asked.of(request.POST)
    try:
        view = services.save_view(owner=actor(request), name=request.POST.get("name", ""), query=asked.kept)
        messages.success(request, f"View {view.name!r} is saved; its address can be given to others.")
    except InvalidInput as error:
        messages.error(request, str(error))
    return redirect(asked.address)


@require_POST
def delete_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Forget one of one's saved views."""
    view = get_object_or_404(views_of(request.user), pk=pk)
    services.delete_view(view)
    messages.success(request, f"View {view.name!r} is deleted.")
    return back(request, reverse("runs:runs"))

"""One checkpoint: what was measured of it in six tabs, and the form that asks for more."""

from __future__ import annotations

import csv
import io
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from acc.errors import InvalidInput
from acc.specs import METRIC_CLASS
from accsite.actions import perform
from accsite.apps.access.permissions import may_change
from accsite.apps.evaluation import services
from accsite.apps.evaluation.actions.ask_checkpoint import AskCheckpoint
from accsite.apps.evaluation.forms import RunForm
from accsite.apps.evaluation.models import Metric
from accsite.apps.evaluation.pages import hues, running
from accsite.apps.evaluation.pages import tabs as tab_pages
from accsite.apps.evaluation.selectors import METRIC_COLUMNS, asked, comparing
from accsite.apps.jobs.models import Job
from accsite.apps.live import selectors as live
from accsite.apps.training.models import Checkpoint
from accsite.ids import row_id
from accsite.pages import REFUSED, actor, is_partial

COLUMNS = (*METRIC_COLUMNS, "baseline", "reason")


@require_GET
def go(request: HttpRequest) -> HttpResponse:
    """Lead to the checkpoint that was picked, on the same tab and with the same options."""
    named, tab = request.GET.get("checkpoint", ""), request.GET.get("tab", "metrics")
    pk = row_id(named)
    if not pk or tab not in asked.TABS:
        raise Http404(f"there is no checkpoint {named[:80]!r} with a tab {tab[:80]!r}")
    kept = {name: request.GET[name] for name in (*asked.CHOICES, "view", "cell") if request.GET.get(name)}
    return redirect(_address(pk, tab, kept))


@require_GET
def tab(request: HttpRequest, checkpoint: int, name: str = "metrics") -> HttpResponse:
    """Show one part of what is kept of a checkpoint; its address holds the options. A metric leads to its tab."""
    if METRIC_CLASS.match(name):
        return redirect(_address(checkpoint, asked.tab_of(name), request.GET))
    if name not in asked.TABS:
        raise Http404(f"there is no tab {name!r}; there are: {', '.join(asked.TABS)}")
    return _shown(request, asked.find_checkpoint(request.user, checkpoint), name)


@require_GET
def jobs(request: HttpRequest, checkpoint: int) -> HttpResponse:
    """Return the tabs of a checkpoint, ``?tab=`` the open one, with what is being measured."""
    found = asked.find_checkpoint(request.user, checkpoint)
    name = request.GET.get("tab", "")
    shown = running.jobs_context(found, name if name in asked.TABS else "metrics")
    return render(request, "evaluation/jobs.html", shown)


@require_POST
def ask(request: HttpRequest, checkpoint: int) -> HttpResponse:
    """Measure what is not kept; show the first part that was asked for."""
    found = asked.find_checkpoint(request.user, checkpoint)
    form = RunForm(found, request.POST)
    tab_name = request.POST.get("tab", "")
    data = form.payload()
    try:
        asked_for = {**data, "suite": data.get("suite", ())}
        answer = perform(AskCheckpoint, actor=actor(request), thing=found, data=asked_for)
    except InvalidInput as error:
        form.refuse(error)
        shown = tab_name if tab_name in asked.TABS else "metrics"
        return _shown(request, found, shown, status=REFUSED, form=form)
    suite = data["suite"]
    tabs = [asked.tab_of(part) for part in suite]
    if tab_name not in tabs:
        tab_name = tabs[0]
    chosen = asked.relevant(tab_name, data)
    if not isinstance(answer, Job):
        messages.success(request, "This was measured before; here it is.")
        if asked.kept(found, asked.read(tab_name, chosen)).evaluation != answer:
            chosen["evaluation"] = answer.pk  # by itself the tab shows another
    return redirect(_address(found.pk, tab_name, chosen))


@require_POST
def threshold(request: HttpRequest, checkpoint: int) -> HttpResponse:
    """Set from where on a metric is moderate and good; empty numbers go back to the task's own."""
    found = asked.find_checkpoint(request.user, checkpoint)
    task_key, _, name = request.POST.get("metric", "").rpartition("/")
    try:
        services.set_threshold(
            actor=actor(request),
            branch=found.branch,
            task_key=task_key,
            name=name,
            moderate=request.POST.get("moderate", "").strip(),
            good=request.POST.get("good", "").strip(),
        )
    except InvalidInput as error:
        refused = {"metric": request.POST.get("metric", ""), "error": str(error), "typed": request.POST}
        return _shown(request, found, "metrics", status=REFUSED, refused_threshold=refused)
    if is_partial(request):
        return _shown(request, found, "metrics")
    return redirect(_address(found.pk, "metrics", {}))


@require_GET
def export(request: HttpRequest, checkpoint: int) -> HttpResponse:
    """Return every number that was measured of a checkpoint on the rows of ``?rows=``, the newest of each, as CSV."""
    found = asked.find_checkpoint(request.user, checkpoint)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["checkpoint", "branch", "step", *COLUMNS])
    where = [found.pk, comparing.safe(str(found.branch)), found.step]
    wanted = asked.read("metrics", request.GET)
    if wanted.refused:
        raise Http404(wanted.refused)
    for row in comparing.newest_metrics(found, wanted.spec.rows).values():
        writer.writerow([*where, *(_cell(row, column) for column in COLUMNS)])
    response = HttpResponse(out.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="checkpoint-{found.pk}-metrics.csv"'
    return response


@require_GET
def printable(request: HttpRequest, checkpoint: int) -> HttpResponse:
    """Show everything that is kept of a checkpoint on one page, to be printed."""
    found = asked.find_checkpoint(request.user, checkpoint)
    parts = []
    for name, title in asked.TABS.items():
        context = part_context(request, found, name)
        if context["part"] is not None and not context["part"].reason:
            html = render_to_string(f"evaluation/tabs/{name}.html", {**context, "printing": True}, request)
            parts.append((title, context["evaluation"], html))
    shown = {"checkpoint": found, "parts": parts, "place": "evaluate"}
    return render(request, "evaluation/print.html", shown)


def part_context(request: HttpRequest, found: Checkpoint, name: str) -> dict[str, Any]:
    """Return what a tab shows."""
    wanted = asked.read(name, request.GET)
    kept = asked.kept(found, wanted)
    return {
        "checkpoint": found,
        "tab": name,
        "title": asked.TABS[name],
        "asked": wanted,
        "part": kept.part,
        "evaluation": kept.evaluation,
        "current": tab_pages.is_kept(found, wanted, kept),
        "changeable": may_change(request.user, found),
        "present": found.weights_pruned_at is None,
        "hues": hues.of_spec(found.spec),
        "branch_url": reverse("evaluation:branch", args=[found.branch_id]),
        "run_url": reverse("evaluation:ask", args=[found.pk]),
        **tab_pages.BUILDERS[name](found, wanted, kept, request.GET),
    }


def _shown(
    request: HttpRequest, found: Checkpoint, name: str, *, status: int = 200, **extra: Any
) -> HttpResponse:
    topic = f"evaluations:{found.branch_id}"
    versions = live.versions(["jobs", topic])
    query = request.GET.urlencode()
    context = {
        "versions": versions,
        "place": "evaluate",
        "topic": topic,
        "tab_url": _address(found.pk, name, {}) + (f"?{query}" if query else ""),
        **part_context(request, found, name),
        **extra,
    }
    context["measuring"] = context["part"] is None and running.is_measured(found, name)
    if is_partial(request):
        return render(request, "evaluation/tab.html", context, status=status)
    context |= {
        "form": extra.get("form") or RunForm(found, initial=dict(context["asked"].chosen)),
        "form_open": "form" in extra,
        **tab_pages.picker(found),
        **running.jobs_context(found, name, versions),
        "run_api": reverse("api:eval-run"),
        "run_cli": f"evaluate {found.pk}",
        "run_body": {"checkpoint": found.pk},
    }
    return render(request, "evaluation/checkpoint.html", context, status=status)


def _address(pk: int, tab_name: str, query: Any) -> str:
    where = reverse("evaluation:tab", args=[pk, tab_name])
    return f"{where}?{urlencode(query)}" if query else where


def _cell(row: Metric, column: str) -> Any:
    value = getattr(row, column)
    return comparing.safe(value) if isinstance(value, str) else value

"""Evaluate: what was measured of a branch; nothing here starts work but the button that says so."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.paginator import Paginator
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_GET, require_POST

from acc.errors import InvalidInput
from accsite.actions import perform
from accsite.apps.access.permissions import may_change
from accsite.apps.evaluation.forms import AutoForm
from accsite.apps.evaluation.pages import branches as branch_pages
from accsite.apps.evaluation.pages import leaders as leader_pages
from accsite.apps.evaluation.pages import running
from accsite.apps.evaluation.pages import tabs as tab_pages
from accsite.apps.live import selectors as live
from accsite.apps.training.actions.change_branch import ChangeBranch
from accsite.apps.training.actions.evaluate_checkpoint import EvaluateCheckpoint
from accsite.apps.training.models import Branch
from accsite.pages import REFUSED

LEADERS_A_PAGE = 100
MOST_PICKED = 4
"""Checkpoints that a list lets one tick for a comparison."""


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """Rank branches, or all checkpoints, by one number: ``?metric=&of=&q=&sort=&order=&page=``.

    Branches without a checkpoint of their own are listed where nothing is ranked, a name is given, or by ``?bare=1``.
    """
    asked = request.GET
    query = asked.get("q", "").strip()
    of = asked.get("of", "") if asked.get("of") in leader_pages.OF else "branches"
    sort = asked.get("sort", "") if asked.get("sort") in leader_pages.COLUMNS else "value"
    offered = leader_pages.choices(request.user)
    choice = leader_pages.chosen(offered, asked.get("metric", ""))
    shown = LEADERS_A_PAGE if of == "branches" else 0  # of checkpoints there are no others
    training = running.trained_now()
    bare = not choice or bool(query) or asked.get("bare") == "1"
    rest, left_out = leader_pages.others(
        request.user, choice, query, most=shown, training=training, bare=bare
    )
    page, cut = None, 0
    if choice:
        measured = leader_pages.leaders(request.user, choice, of=of, query=query)
        rows = leader_pages.ordered(measured.rows, choice, sort, asked.get("order", ""))
        page, cut = Paginator(rows, LEADERS_A_PAGE).get_page(asked.get("page")), measured.more
        if of == "branches":
            page.object_list = leader_pages.with_trends(request.user, choice, list(page.object_list))
    by_dataset: dict[str, list[leader_pages.Choice]] = {}
    for each in sorted(offered, key=lambda each: (each.dataset, each.task == "", each.words)):
        by_dataset.setdefault(each.dataset, []).append(each)
    context = {
        "place": "evaluate",
        "choices": list(by_dataset.items()),
        "choice": choice,
        "page": page,
        "cut": cut,
        "rest": rest.rows,
        "more": rest.more if of == "branches" else 0,
        "nothing": not offered and not rest.total and not query,
        "query": query,
        "of": of,
        "ofs": leader_pages.OF,
        "heads": _heads(request, choice, sort) if choice else {},
        "most": MOST_PICKED,
        "training": training,
        "left_out": left_out if of == "branches" else 0,
    }
    return render(request, "evaluation/home.html", context)


def _heads(request: HttpRequest, choice: leader_pages.Choice, sort: str) -> dict[str, dict[str, str]]:
    """Return for each column the address that sorts by it, and how it is sorted now."""
    heads = {}
    for name in leader_pages.COLUMNS:
        usual = leader_pages.best_first(choice, name)
        order = request.GET.get("order", "")
        now = (order if order in ("asc", "desc") else usual) if name == sort else ""
        turned = {"asc": "desc", "desc": "asc", "": usual}[now]
        query = request.GET.copy()
        query.pop("page", None)
        query["sort"] = name
        query["order"] = turned
        heads[name] = {
            "url": f"?{query.urlencode()}",
            "now": {"asc": "ascending", "desc": "descending", "": ""}[now],
        }
    return heads


@require_GET
def branch(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the metrics and reconstructions of a branch."""
    context = branch_context(request, branch_pages.find_branch(request.user, pk))
    name = "metrics" if request.headers.get("HX-Request") == "true" else "branch"
    return render(request, f"evaluation/{name}.html", context)


def branch_context(request: HttpRequest, found: Branch) -> dict[str, Any]:
    """Return what the page of a branch shows."""
    topic = f"evaluations:{found.pk}"
    versions = live.versions([topic])
    steps, rows = branch_pages.metric_rows(found, branch_pages.newest_with_metrics(found))
    return {
        "versions": versions,
        "place": "evaluate",
        "branch": found,
        "topic": topic,
        "steps": steps,
        "rows": rows,
        "auto_form": AutoForm(found),
        "changeable": may_change(request.user, found),
        "checkpoints": branch_pages.measured_checkpoints(found),
        "curves": tab_pages.curves(found),
        "metrics_url": reverse("evaluation:branch", args=[found.pk]),
    }


@require_POST
def run(request: HttpRequest, pk: int) -> HttpResponse:
    """Submit an evaluation of the branch's head."""
    found = branch_pages.find_branch(request.user, pk)
    assert isinstance(request.user, User)
    if found.head is None:
        messages.error(request, "This branch has no checkpoint yet; train it first.")
    else:
        try:
            job = perform(EvaluateCheckpoint, actor=request.user, thing=found.head, data={})
            messages.success(
                request,
                f"Job {job.pk} measures step {found.head.step:,}; the numbers appear here by themselves.",
            )
        except InvalidInput as error:
            messages.error(request, str(error))
    return redirect("evaluation:branch", pk)


@require_POST
def auto(request: HttpRequest, pk: int) -> HttpResponse:
    """Set when the branch is measured by itself; what is refused stands beside its field."""
    found = branch_pages.find_branch(request.user, pk)
    form = AutoForm(found, request.POST)
    data = form.payload()
    try:
        asked = {name: data.get(name, "") for name in form.fields}
        perform(ChangeBranch, actor=request.user, thing=found, data=asked)
    except InvalidInput as error:
        form.refuse(error)
        return render(
            request,
            "evaluation/branch.html",
            {**branch_context(request, found), "auto_form": form},
            status=REFUSED,
        )
    messages.success(request, f"This branch is measured {found.get_auto_evaluate_display()}.")
    return redirect("evaluation:branch", pk)


@require_GET
def branch_reconstructions(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the reconstructions panel of a branch as it is now."""
    return render(
        request,
        "evaluation/reconstructions.html",
        branch_pages.reconstructions_context(branch_pages.find_branch(request.user, pk)),
    )


@require_GET
@cache_control(private=True, max_age=31_536_000, immutable=True)
def artifact(request: HttpRequest, pk: int) -> FileResponse:
    """Return the bytes of an artifact; they never change."""
    found = branch_pages.find_artifact(request.user, pk)
    response = FileResponse(default_storage.open(found.file), content_type=found.media_type)
    response["ETag"] = f'"{found.sha256}"'
    return response

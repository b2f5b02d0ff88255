"""Checkpoints beside each other; one address holds the whole comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from acc.errors import InvalidInput
from accsite.apps.access.permissions import may_change
from accsite.apps.evaluation import services
from accsite.apps.evaluation.pages import compare as pages
from accsite.apps.evaluation.pages import picking
from accsite.apps.evaluation.selectors import asked, comparing
from accsite.apps.evaluation.services.keys import OPTIONS
from accsite.apps.jobs.models import Job
from accsite.apps.live import selectors as live
from accsite.apps.training.models import Checkpoint
from accsite.pages import REFUSED, actor, is_partial

FORMS = ("csv", "json")
OF = ("dataset", "rows")
"""What an address says of all tabs of a comparison."""


@require_GET
def compare(request: HttpRequest) -> HttpResponse:
    """Show ``?a=&b=`` and up to four more, ``&tab=``; ``&print=1`` shows all tabs at once. ``?pick=`` of a list leads
    here."""
    picked = request.GET.getlist("pick")
    if picked:
        letters = dict(zip(pages.NAMES, picked, strict=False))
        return redirect(f"{reverse('evaluation:compare')}?{urlencode(letters)}")
    given = any(request.GET.get(name) for name in pages.NAMES)
    try:
        chosen = pages.read(request.user, request.GET, least=1) if given else []
        if len(chosen) > 1:
            pages.dataset_of(chosen, request.GET)
    except InvalidInput as error:
        return _page(request, [], refused=str(error), status=REFUSED)
    if len(chosen) < 2 or _finds(request):
        return _picking(request, chosen)
    name = request.GET.get("tab", "metrics")
    if name not in pages.TABS:
        raise Http404(f"there is no tab {name!r}; there are: {', '.join(pages.TABS)}")
    if request.GET.get("print"):
        return _printed(request, chosen)
    topics = sorted({f"evaluations:{each.branch_id}" for each in chosen})
    versions = live.versions([*topics, "jobs"])
    context = {
        "versions": versions,
        "topics": topics,
        **part_context(request, chosen, name),
        "tab_url": request.get_full_path(),
    }
    if is_partial(request):
        return render(request, "evaluation/compared.html", context)
    return _page(request, chosen, **context)


@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    """Measure what a tab misses, of each checkpoint."""
    name = request.POST.get("tab", "")
    if name not in pages.MEASURED:
        raise Http404(f"there is no tab {name!r} that is measured")
    try:
        chosen = pages.read(request.user, request.POST)
        if not all(may_change(request.user, each) for each in chosen):
            raise PermissionDenied("measuring makes jobs in an experiment that you may not change")
        options = asked.relevant(name, request.POST)
        found = services.ask_all(actor=actor(request), checkpoints=chosen, eval={"suite": [name], **options})
    except InvalidInput as error:
        messages.error(request, str(error))
        return redirect("evaluation:compare")
    waiting = sum(isinstance(each, Job) for each in found)
    if waiting:
        many = f"{waiting} jobs measure" if waiting > 1 else "One job measures"
        messages.success(request, f"{many} what is missing; it appears here by itself.")
    return redirect(pages.address(chosen, tab=name, **options))


@require_GET
def export(request: HttpRequest, form: str) -> HttpResponse:
    """Return the numbers of a comparison as CSV or JSON."""
    if form not in FORMS:
        raise Http404(f"there is no {form!r} of a comparison; there are: {', '.join(FORMS)}")
    try:
        chosen = pages.read(request.user, request.GET)
        dataset, rows = pages.dataset_of(chosen, request.GET), pages.rows_of(request.GET)
        found = comparing.compare(chosen, dataset, rows)
    except InvalidInput as error:
        raise Http404(str(error)) from error
    if form == "json":
        response: HttpResponse = JsonResponse(found.model_dump(mode="json"), json_dumps_params={"indent": 1})
    else:
        response = HttpResponse(comparing.as_csv(found), content_type="text/csv; charset=utf-8")
    ids = "-".join(str(each.pk) for each in chosen)
    response["Content-Disposition"] = f'attachment; filename="comparison-{ids}.{form}"'
    return response


def part_context(request: HttpRequest, chosen: list[Checkpoint], name: str) -> dict[str, Any]:
    """Return what a tab of the comparison shows."""
    found = pages.sides(chosen, name, request.GET)
    options = asked.relevant(name, request.GET) if name in pages.MEASURED else {}
    dataset = pages.dataset_of(chosen, request.GET)
    if dataset and "dataset" in OPTIONS.get(name, ()):
        options = {**options, "dataset": dataset}
    datasets = comparing.datasets_of(chosen)
    if dataset and dataset not in datasets:
        datasets = [*datasets, dataset]
    return {
        "dataset": dataset,
        "datasets": [
            (each, pages.address(chosen, tab=name, **{**options, "dataset": each})) for each in datasets
        ],
        "rows_words": asked.ROWS.get(pages.rows_of(request.GET), ""),
        "rows_choices": [
            (words, pages.address(chosen, tab=name, **{**options, "rows": rows}))
            for rows, words in _rows(chosen)
            if rows != options.get("rows", "")
        ],
        "sides": found,
        "hues": found[0].hues,
        "tab": name,
        "title": pages.TABS[name],
        "options": options,
        "missing": [side for side in found if side.kept.part is None and name in pages.MEASURED],
        "reasons": [
            (side, side.kept.part.reason) for side in found if side.kept.part and side.kept.part.reason
        ],
        "changeable": all(may_change(request.user, each) for each in chosen),
        **pages.BUILDERS[name](found, request.GET),
    }


def _rows(chosen: list[Checkpoint]) -> list[tuple[str, str]]:
    """Return the rows that a comparison may be of, with words, if any was measured on others than those held out."""
    others = [(rows, asked.ROWS[rows]) for rows in pages.other_rows(chosen)]
    return [("", "rows held out"), *others] if others else []


def _page(
    request: HttpRequest, chosen: list[Checkpoint], *, refused: str = "", status: int = 200, **context: Any
) -> HttpResponse:
    shown = {
        "place": "evaluate",
        "refused": refused,
        "chosen": chosen,
        **_picker(request, chosen),
        **context,
    }
    if len(chosen) < 2:
        newest = picking.newest(request.user)
        shown["newest_url"] = pages.address(newest) if len(newest) == 2 and not chosen else ""
        shown["too_few"] = len(newest) < 2
    else:
        ids = [each.pk for each in chosen]
        of = {name: request.GET.get(name, "") for name in OF}
        shown |= {
            "differences": picking.differences(chosen),
            "tabs": [(key, title, pages.address(chosen, tab=key, **of)) for key, title in pages.TABS.items()],
            "swapped": pages.address(
                [chosen[1], chosen[0], *chosen[2:]], tab=context["tab"], **context["options"]
            ),
            "csv_url": _export(chosen, "csv", of),
            "json_url": _export(chosen, "json", of),
            "print_url": pages.address(chosen, print="1", **context["options"]),
            "api": reverse("api:eval-compare"),
            "body": {"checkpoints": ids},
        }
    return render(request, "evaluation/compare.html", shown, status=status)


def _finds(request: HttpRequest) -> bool:
    """Return whether a script asks only for what a search finds."""
    return "find" in request.GET and is_partial(request)


def _picking(request: HttpRequest, chosen: list[Checkpoint]) -> HttpResponse:
    """Return what a search finds, or the page while too few are chosen."""
    if _finds(request):
        return render(request, "evaluation/parts/found.html", _picker(request, chosen))
    return _page(request, chosen)


def _picker(request: HttpRequest, chosen: list[Checkpoint]) -> dict[str, Any]:
    """Return the chips of what is chosen, and what can be added: what ``?find=`` finds, or heads."""
    kept = {name: request.GET[name] for name in ("tab", *OF) if request.GET.get(name)}
    text = request.GET.get("find", "").strip()
    room = len(pages.NAMES) - len(chosen)
    heads = picking.heads(request.user, chosen[0], len(pages.NAMES)) if chosen else []
    return {
        "chips": [
            (
                letter.upper(),
                each,
                pages.address([other for other in chosen if other.pk != each.pk], **kept),
            )
            for letter, each in zip(pages.NAMES, chosen, strict=False)
        ],
        "kept": {**{name: each.pk for name, each in zip(pages.NAMES, chosen, strict=False)}, **kept},
        "find": text,
        "found": [
            (each, pages.address([*chosen, each], **kept))
            for each in picking.find(request.user, text, chosen)
        ]
        if room
        else [],
        "room": room,
        "heads_url": pages.address(heads, **kept) if len(heads) > 1 else "",
    }


def _printed(request: HttpRequest, chosen: list[Checkpoint]) -> HttpResponse:
    parts = []
    for name, title in pages.TABS.items():
        context = {**part_context(request, chosen, name), "printing": True}
        html = render_to_string(f"evaluation/compared/{name}.html", context, request)
        parts.append((title, html))
    sides = pages.sides(chosen, "metrics", {})
    shown = {
        "chosen": sides,
        "parts": parts,
        "place": "evaluate",
        "dataset": pages.dataset_of(chosen, request.GET),
        "back": urlencode({side.letter.lower(): side.checkpoint.pk for side in sides}),
    }
    return render(request, "evaluation/compare_print.html", shown)


def _export(chosen: list[Checkpoint], form: str, of: Mapping[str, str]) -> str:
    where = reverse("evaluation:compare-export", args=[form])
    return f"{where}?{pages.address(chosen, **of).partition('?')[2]}"

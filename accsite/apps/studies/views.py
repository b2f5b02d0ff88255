"""Studies: those there are, the page of one with its curves, traversals and files, and its removal."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from acc.errors import AccError, InvalidInput
from accsite.actions import pages as acts
from accsite.actions import perform
from accsite.apps.access import permissions
from accsite.apps.live import selectors as live
from accsite.apps.studies import exporting, pages, selectors, sweep_page
from accsite.apps.studies.actions.draw_traversals import DrawTraversals
from accsite.apps.studies.actions.remove_study import RemoveStudy
from accsite.apps.studies.curves import curves_of
from accsite.apps.studies.models import Study
from accsite.apps.studies.services import life
from accsite.apps.studies.traversals import to_draw, traversals_of
from accsite.pages import REFUSED, actor, is_partial

STUDIES_A_PAGE = 10


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List the studies that the address asks for: ``q``, ``state``, ``page``; newest first."""
    versions = live.versions(["studies"])
    asked = {name: request.GET.get(name, "").strip()[:200] for name in ("q", "state")}
    visible = Study.objects.visible_to(request.user)
    found = selectors.searched(visible, **asked)
    found = found.select_related("run__job", "run__within__run__job", "owner")
    page = Paginator(found, STUDIES_A_PAGE).get_page(request.GET.get("page"))
    kept = {name: value for name, value in asked.items() if value}
    context = {
        "versions": versions,
        "place": "studies",
        "page": page,
        "asked": asked,
        "query": f"{urlencode(kept)}&" if kept else "",
        "states": selectors.STATES,
        "any": bool(page.paginator.count) or visible.exists(),
        "rows": [pages.in_a_list(study) for study in page.object_list],
        "studies_url": f"{reverse('studies:studies')}?{urlencode({**kept, 'page': page.number})}",
    }
    template = "studies/panels/studies.html" if is_partial(request) else "studies/studies.html"
    return render(request, template, context)


@require_GET
def study(request: HttpRequest, slug: str) -> HttpResponse:
    """Show what may be said of a study, and every seed."""
    found = find(request.user, slug)
    versions = live.versions([f"study:{found.pk}"])
    found = find(request.user, slug)
    if found.is_sweep:
        return _sweep(request, found, versions)
    context = {
        "versions": versions,
        "place": "studies",
        "study": found,
        "shown": pages.shown(found),
        "confirms": selectors.seen_studies(request.user).filter(confirmations=found).first(),
        "topic": f"study:{found.pk}",
        "study_url": reverse("studies:study", args=[found.slug]),
        "forms": [form for form in exporting.FORMS.values() if not form.drawn],
        "figures": [form for form in exporting.FORMS.values() if form.drawn],
        "changes": permissions.may_change(request.user, found),
        "moving": found.is_at_work,
    }
    template = "studies/panels/study.html" if is_partial(request) else "studies/study.html"
    return render(request, template, context)


def _sweep(request: HttpRequest, found: Study, versions: Any) -> HttpResponse:
    """Show how the trials of a sweep rank, and where they lie."""
    chosen = request.GET.get("x", ""), request.GET.get("y", "")
    made = sweep_page.shown(request.user, found, *chosen)
    query = urlencode({"x": made.scatter.x, "y": made.scatter.y})
    context = {
        "versions": versions,
        "place": "studies",
        "study": found,
        "shown": made,
        "budget": sweep_page.budget(made.sweep),
        "topic": f"study:{found.pk}",
        "study_url": f"{reverse('studies:study', args=[found.slug])}?{query}",
        "forms": [form for form in exporting.FORMS.values() if form.name in ("csv", "parquet")],
        "changes": permissions.may_change(request.user, found),
    }
    template = "studies/panels/sweep.html" if is_partial(request) else "studies/sweep.html"
    return render(request, template, context)


@require_GET
def actions(request: HttpRequest, slug: str) -> HttpResponse:
    """Show what can be done to a study as it is now."""
    found = find(request.user, slug)
    versions = live.versions([f"study:{found.pk}"])
    found = find(request.user, slug)
    return render(request, acts.template(found), {"versions": versions, **acts.shown(request.user, found)})


@require_GET
def export(request: HttpRequest, slug: str, form: str) -> HttpResponse:
    """Return every number of a study, or what is shown of it, as a file."""
    found = find(request.user, slug)
    kind = exporting.FORMS.get(form)
    if kind is None:
        raise Http404(f"there is no export {form!r}; choose one of: {', '.join(exporting.FORMS)}")
    part = request.GET.get("part", "all") if kind.drawn else "all"
    try:
        made = kind.made_of(found, part, request.GET.get("curve", ""))
    except InvalidInput as error:
        return HttpResponse(str(error), status=REFUSED, content_type="text/plain; charset=utf-8")
    answer = HttpResponse(made, content_type=kind.media_type)
    name = found.slug if part == "all" else f"{found.slug}-{part}"
    answer["Content-Disposition"] = f'attachment; filename="{name}.{kind.ending}"'
    return answer


@require_GET
def curves(request: HttpRequest, slug: str) -> HttpResponse:
    """Return the curves of the arms as JSON, of the loss or metric ``curve``: means over seeds with bands."""
    found = curves_of(find(request.user, slug), request.GET.get("curve", ""))
    return JsonResponse(found.as_json(), headers={"Cache-Control": "no-store"})


@require_http_methods(["GET", "POST"])
def traversals(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the kept traversals of a factor group, a row an arm, a column a seed; a POST has the missing ones drawn."""
    found = find(request.user, slug)
    group = request.GET.get("group", "")
    refused = ""
    if request.method == "POST":
        try:
            perform(DrawTraversals, actor=actor(request), thing=found, data={})
        except AccError as error:
            refused = str(error)
        else:
            if not is_partial(request):
                return redirect("studies:study-traversals", slug=slug)
    # read before what is shown, so that whatever ends in between is told
    versions = live.versions([f"study:{found.pk}", "jobs"])
    url = reverse("studies:study-traversals", args=[slug])
    context = {
        "versions": versions,
        "place": "studies",
        "study": found,
        "topic": f"study:{found.pk}",
        "url": url,
        "shown_url": f"{url}?{urlencode({'group': group})}" if group else url,
        "shown": traversals_of(request.user, found, group),
        "to_draw": to_draw(found, request.user),
        "draws": DrawTraversals.may(request.user, found) and not found.is_sweep,
        "refused": refused,
    }
    template = "studies/panels/traversals.html" if is_partial(request) else "studies/traversals.html"
    return render(request, template, context, status=REFUSED if refused else 200)


@require_http_methods(["GET", "POST"])
def removal(request: HttpRequest, slug: str) -> HttpResponse:
    """Say what becomes of what a study made, and remove it."""
    found = find(request.user, slug)
    if not permissions.may_change(request.user, found):
        raise PermissionDenied(RemoveStudy.not_allowed)
    if request.method == "POST":
        data = {"with_experiments": request.POST.get("with_experiments") == "on"}
        try:
            perform(RemoveStudy, actor=actor(request), thing=found, data=data)
        except AccError as error:
            messages.error(request, str(error))
            return redirect("studies:study-removal", slug=slug)
        messages.success(request, f"Study {found.name} is removed.")
        return redirect("studies:studies")
    context = {
        "place": "studies",
        "study": found,
        "why_not": RemoveStudy.possible(found),
        "plan": life.plan_removal(request.user, found),
        "counted": found.results.filter(finished_at__isnull=False).count(),
    }
    return render(request, "studies/removal.html", context)


def find(user: Any, slug: str) -> Study:
    """Return a study that ``user`` may see; raises Http404."""
    rows = Study.objects.visible_to(user).select_related(
        "run__job", "run__within__run__job", "owner", "branch__experiment"
    )
    return get_object_or_404(rows, slug=slug)

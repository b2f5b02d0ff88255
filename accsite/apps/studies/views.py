"""Studies: those there are, and the page of one."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_GET

from accsite.actions import pages as acts
from accsite.apps.live import selectors as live
from accsite.apps.studies import exporting, pages
from accsite.apps.studies.models import Study
from accsite.pages import is_partial

STUDIES_A_PAGE = 10


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List the studies, newest first."""
    versions = live.versions(["studies"])
    seen = Study.objects.visible_to(request.user).select_related("run__job", "run__within__run__job", "owner")
    page = Paginator(seen, STUDIES_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "versions": versions,
        "place": "studies",
        "page": page,
        "rows": [pages.in_a_list(study) for study in page.object_list],
        "studies_url": f"{reverse('studies:studies')}?page={page.number}",
    }
    template = "studies/panels/studies.html" if is_partial(request) else "studies/studies.html"
    return render(request, template, context)


@require_GET
def study(request: HttpRequest, slug: str) -> HttpResponse:
    """Show what may be said of a study, and every seed."""
    found = find(request.user, slug)
    versions = live.versions([f"study:{found.pk}"])
    found = find(request.user, slug)
    context = {
        "versions": versions,
        "place": "studies",
        "study": found,
        "shown": pages.shown(found),
        "topic": f"study:{found.pk}",
        "study_url": reverse("studies:study", args=[found.slug]),
        "forms": exporting.FORMS.values(),
    }
    template = "studies/panels/study.html" if is_partial(request) else "studies/study.html"
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
    answer = HttpResponse(kind.made_of(found), content_type=kind.media_type)
    answer["Content-Disposition"] = f'attachment; filename="{found.slug}.{kind.ending}"'
    return answer


def find(user: Any, slug: str) -> Study:
    """Return a study that ``user`` may see; raises Http404."""
    rows = Study.objects.visible_to(user).select_related(
        "run__job", "run__within__run__job", "owner", "branch__experiment"
    )
    return get_object_or_404(rows, slug=slug)

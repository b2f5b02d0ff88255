"""The news: their page, what the bell opens, its number, and up to where they were read."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_GET, require_POST

from accsite.apps.news import first_run, pages, selectors, services
from accsite.ids import row_id
from accsite.pages import REFUSED, actor, back, is_partial


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List what waits and what happened, newest first; ``?of=all``: of everybody whose work one may see."""
    context = pages.list_context(request)
    if is_partial(request):
        return render(request, "news/panels/news.html", context)
    return render(request, "news/news.html", context)


@require_GET
def bell(request: HttpRequest) -> HttpResponse:
    """Return what the bell opens."""
    context = pages.list_context(request, limit=selectors.SHOWN_IN_THE_BELL)
    return render(request, "news/panels/bell_news.html", context)


@require_GET
def count(request: HttpRequest) -> HttpResponse:
    """Return the bell's number, and with it the counts in the rail."""
    return render(request, "news/panels/counts.html", pages.count_context(request))


@require_GET
def next_step(request: HttpRequest) -> HttpResponse:
    """Return the line of a newcomer."""
    return render(request, "news/panels/next_step.html", pages.next_context(request))


@require_POST
def first(request: HttpRequest, what: str) -> HttpResponse:
    """Note that a newcomer wants no more hints (``end``)."""
    if what != "end":
        raise Http404(f"a first run has no {what!r}")
    first_run.note(actor(request), what)
    if is_partial(request):
        return render(request, "news/panels/next_step.html", pages.next_context(request))
    return back(request, "/")


@require_POST
def seen(request: HttpRequest) -> HttpResponse:
    """Note up to where the reader has read: ``event`` and ``at``, as the list that was read says."""
    now = selectors.newest()
    event = row_id(request.POST.get("event", "0")) or 0
    try:
        at = parse_datetime(request.POST.get("at", ""))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        said = "at: say up to when, as a time with its zone, such as 2026-11-30T12:00:00Z"
        return HttpResponse(said, status=REFUSED, content_type="text/plain")
    services.see(actor(request), event=min(event, now.event), at=min(at, now.at))
    if is_partial(request):
        return render(request, "news/panels/counts.html", pages.count_context(request))
    return redirect("news:news")

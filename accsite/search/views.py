"""The page that finds things: what the command palette is with a script."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accsite.search import HEADINGS, MAX_QUERY, MOST_SHOWN, SHOWN, search


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List what is called so; ``?q=`` is what was asked for, ``?kind=`` shows more of one kind."""
    asked = request.GET.get("q", "")[:MAX_QUERY].strip()
    kind = request.GET.get("kind", "")
    kind = kind if kind in HEADINGS else ""
    groups = search(request.user, asked, kind=kind, limit=MOST_SHOWN if kind else SHOWN) if asked else []
    pages = [] if asked else search(request.user, "", kind="page", limit=MOST_SHOWN)
    context = {"asked": asked, "kind": kind, "groups": groups or pages, "most": MAX_QUERY}
    return render(request, "search/search.html", context)

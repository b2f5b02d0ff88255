"""What the bell and the page of news show."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest

from accsite.apps.live import selectors as live
from accsite.apps.news import first_run, selectors


def count_context(request: HttpRequest) -> dict[str, Any]:
    """Return what the bell's number and the counts in the rail show; read once for each request."""
    known: dict[str, Any] | None = getattr(request, "news_counts", None)
    if known is None:
        topic = f"news:{request.user.pk}"
        known = {
            "versions": live.versions(["jobs", "registry", topic]),
            "news_topic": topic,
            "counts": selectors.counts(request.user),
        }
        request.news_counts = known  # type: ignore[attr-defined]
    return known


def next_context(request: HttpRequest) -> dict[str, Any]:
    """Return what the line of a newcomer shows."""
    topic = f"news:{request.user.pk}"
    found, versions = first_run.next_step(request.user), {}
    if found:  # read again after the versions, which the many who need no step do without
        versions = live.versions(["jobs", "datasets", "experiments", topic])
        found = first_run.next_step(request.user)
    page = urlsplit(request.headers.get("HX-Current-URL", "")).path or request.path
    return {
        "versions": versions,
        "news_topic": topic,
        "next_step": found,
        "leads_on": found is not None and found.url != page,
        "request": request,
    }


def list_context(request: HttpRequest, *, limit: int = selectors.SHOWN) -> dict[str, Any]:
    """Return what happened and what waits; ``?of=all``: to all that the reader may see."""
    everyones = request.GET.get("of") == "all"
    topic = f"news:{request.user.pk}"
    return {
        "versions": live.versions(["jobs", "registry", topic]),
        "news_topic": topic,
        "place_now": selectors.newest(),
        "everyones": everyones,
        "news": selectors.news(request.user, everyones=everyones, limit=limit),
        "waiting": selectors.waiting(request.user),
        "looked_back": f"{selectors.LOOKED_BACK:,}" if selectors.is_cut_off() else "",
    }

"""The list of datasets, and of those that can be restored."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from accsite.apps.access.permissions import may_write
from accsite.apps.datasets import pages
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.uses import Place, trained_by
from accsite.apps.live import selectors as live
from accsite.pages import is_partial

DATASETS_A_PAGE = 50
STRIP, STRIP_COLUMNS = 10, 5
TARGETS_NAMED = 5
PLACES_NAMED = 2


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List the datasets; ``?q=`` filters by name, ``?removed=1`` shows those that can be restored."""
    versions = live.versions(["datasets"])
    query, removed = request.GET.get("q", "").strip(), request.GET.get("removed") == "1"
    gone = Dataset.every.exclude(removed_at=None)
    rows = gone if removed else Dataset.objects.all()
    if query:
        rows = rows.filter(name__icontains=query)
    page = Paginator(rows.select_related("created_by").order_by("name", "pk"), DATASETS_A_PAGE).get_page(
        request.GET.get("page")
    )
    shown = list(page.object_list)
    trained = trained_by(shown, request.user)
    asked = {name: text for name, text in (("q", query), ("removed", "1" if removed else "")) if text}
    context = {
        "versions": versions,
        "place": "datasets",
        "datasets": [_card(row, trained[row.pk]) for row in shown],
        "page": page,
        "asked": urlencode(asked),
        "query": query,
        "removed": removed,
        "removed_count": gone.count(),
        "undo": [] if removed else pages.just_removed(),
        "may_write": may_write(request.user),
        "list_url": f"{reverse('datasets:list')}?{urlencode({**asked, 'page': page.number})}",
    }
    return render(request, f"datasets/{'panel' if is_partial(request) else 'list'}.html", context)


def _card(row: Dataset, places: list[Place]) -> dict[str, Any]:
    """Return what a card shows of a dataset: its first samples, its targets, and which branches train on it."""
    count = min(STRIP, row.n)
    columns = min(STRIP_COLUMNS, count)
    return {
        "dataset": row,
        "url": pages.sprite_url(row, limit=count, columns=columns) if row.removed_at is None else "",
        "width": columns * row.width,
        "height": -(-count // columns) * row.height,
        "shown": count,
        "split": pages.split_words(row),
        "targets": row.targets[:TARGETS_NAMED],
        "more_targets": len(row.targets[TARGETS_NAMED:]),
        "places": places[:PLACES_NAMED],
        "more_places": len(places[PLACES_NAMED:]),
    }

"""One dataset: its samples as they are chosen, how its targets lie, and where it came from."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from acc.errors import InvalidInput
from accsite.apps.access.permissions import may_write
from accsite.apps.datasets import choice as choices
from accsite.apps.datasets import pages
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.uses import NAMED, fitting, trained_by, users_of
from accsite.apps.datasets.views.common import find
from accsite.apps.live import selectors as live
from accsite.pages import REFUSED, is_partial

PLACES = 6
"""Branches that 'Train on this' offers; of more, the newest."""


@require_GET
def detail(request: HttpRequest, slug: str) -> HttpResponse:
    """Show one dataset; its address holds filters, order, page and the plotted targets. ``?head``: its head alone."""
    versions = live.versions(["datasets"])
    dataset = find(slug)
    context = {"versions": versions, **head(request, dataset)}
    if "head" in request.GET:
        return render(request, "datasets/head.html", context)
    choice = choices.read(dataset, request.GET)
    context |= browsed(dataset, choice)
    status = REFUSED if choice.errors else 200
    if is_partial(request):
        return render(request, "datasets/browse.html", context, status=status)
    return render(request, "datasets/detail.html", {**context, "place": "datasets"}, status=status)


def head(request: HttpRequest, dataset: Dataset) -> dict[str, Any]:
    """Return what the head shows: the name and what may be done."""
    users = users_of(dataset, NAMED + 1)
    return {
        "dataset": dataset,
        "users": users[:NAMED],
        "more_users": len(users) > NAMED,
        "exports": pages.exports(dataset),
        "may_write": may_write(request.user),
        "places": trained_by([dataset], request.user)[dataset.pk],
        "fitting": fitting(dataset, request.user, PLACES) if may_write(request.user) else [],
        "head_url": f"{reverse('datasets:detail', args=[dataset.slug])}?head=1",
    }


def browsed(dataset: Dataset, choice: choices.Choice) -> dict[str, Any]:
    """Return what the samples and the histograms show; a damaged file is told, and what the row knows still shown."""
    context: dict[str, Any] = {
        "dataset": dataset,
        "choice": choice,
        "provenance": pages.provenance(dataset),
        "imported": pages.imported(dataset),
        "split": pages.split_words(dataset),
    }
    try:
        grid = pages.grid(dataset, choice)
        context |= {
            "grid": grid,
            "targets": pages.targets(dataset, choice),
            "plot": pages.plot(dataset, choice),
            "earlier": choice.address(page=grid.page - 1 if grid.page > 2 else ""),
            "later": choice.address(page=grid.page + 1),
            "samples_query": choice.address(x="", y="", page="")[1:],
            "sorts": [target["name"] for target in dataset.targets],
        }
    except InvalidInput as error:
        context["damaged"] = str(error)
    return context

"""Datasets: the list, one dataset with its samples, and the samples' picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_GET

from acc.data import AccDataset
from acc.data.pixels import as_uint8
from acc.render import sprite
from accsite.apps.datasets import selectors
from accsite.apps.datasets.models import Dataset
from accsite.apps.live import selectors as live

SAMPLES_A_PAGE = 60
COLUMNS = 12


@dataclass(frozen=True)
class Sample:
    """One image of the grid: its index, its place in the sprite in pixels, and its targets in words."""

    index: int
    x: int
    y: int
    caption: str
    description: str


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List the datasets; ``?q=`` filters by name."""
    versions = live.versions(["datasets"])
    query = request.GET.get("q", "").strip()
    datasets = Dataset.objects.filter(name__icontains=query) if query else Dataset.objects.all()
    context = {
        "versions": versions,
        "place": "datasets",
        "datasets": datasets,
        "query": query,
        "list_url": request.get_full_path(),
    }
    name = "panel" if request.headers.get("HX-Request") == "true" else "list"
    return render(request, f"datasets/{name}.html", context)


@require_GET
def detail(request: HttpRequest, slug: str) -> HttpResponse:
    """Show one dataset: a page of samples with their targets, the columns, and where it came from."""
    dataset = get_object_or_404(Dataset, slug=slug)
    pages = max(1, math.ceil(dataset.n / SAMPLES_A_PAGE))
    asked = request.GET.get("page", "1")
    page = min(max(1, int(asked) if asked.isdecimal() else 1), pages)
    start = (page - 1) * SAMPLES_A_PAGE
    data = load(dataset)
    count = min(SAMPLES_A_PAGE, dataset.n - start)
    columns = min(COLUMNS, count)
    context = {
        "place": "datasets",
        "dataset": dataset,
        "samples": [sample(dataset, data, start + offset, offset, columns) for offset in range(count)],
        "sprite_url": f"{reverse('datasets:samples', args=[slug])}?start={start}&v={dataset.sha256[:8]}",
        "sprite_width": columns * dataset.width,
        "sprite_height": math.ceil(count / columns) * dataset.height,
        "page": page,
        "pages": pages,
        "first": start,
        "last": start + count - 1,
        "provenance": sorted(flat(dataset.provenance)),
        "targets": [column(target) for target in dataset.targets],
    }
    return render(request, "datasets/detail.html", context)


@require_GET
@cache_control(private=True, max_age=86_400, immutable=True)
def samples(request: HttpRequest, slug: str) -> HttpResponse:
    """Return one PNG of up to SAMPLES_A_PAGE samples from ``?start=``, COLUMNS to a row."""
    dataset = get_object_or_404(Dataset, slug=slug)
    asked = request.GET.get("start", "0")
    start = min(int(asked) if asked.isdecimal() else 0, max(0, dataset.n - 1))
    data = load(dataset)
    images = as_uint8(np.asarray(data.images[start : start + SAMPLES_A_PAGE]))
    return HttpResponse(sprite(images, columns=min(COLUMNS, len(images))), content_type="image/png")


def load(dataset: Dataset) -> AccDataset:
    """Return the images and targets of a dataset, mapped from its file."""
    return selectors.opened(dataset)


def sample(dataset: Dataset, data: AccDataset, index: int, offset: int, columns: int) -> Sample:
    """Return what is shown of sample ``index``, which is number ``offset`` of the sprite."""
    values = {}
    for target in dataset.targets:
        value = data.targets[target["name"]][index]
        labels = target.get("labels")
        if target["kind"] == "class":
            values[target["name"]] = labels[int(value)] if labels else str(int(value))
        else:
            values[target["name"]] = f"{float(value):.3g}"
    return Sample(
        index=index,
        x=-(offset % columns) * dataset.width,
        y=-(offset // columns) * dataset.height,
        caption=next(iter(values.values()), str(index)),
        description=f"sample {index}" + "".join(f", {name} {value}" for name, value in values.items()),
    )


def column(target: dict[str, Any]) -> dict[str, Any]:
    """Return a target column in words: name, kind, range."""
    if target["kind"] == "class":
        span = f"{target.get('classes')} classes"
    elif target.get("min") is not None and target.get("max") is not None:
        span = f"{target['min']:.3g} to {target['max']:.3g} {target.get('unit') or ''}".strip()
    else:
        span = target.get("unit") or "real numbers"
    return {"name": target["name"], "kind": target["kind"], "span": span}


def flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested provenance as (dotted name, value)."""
    rows: list[tuple[str, str]] = []
    for name, item in value.items():
        if isinstance(item, dict):
            rows.extend(flat(item, f"{prefix}{name}."))
        else:
            rows.append((f"{prefix}{name}".replace("_", " "), str(item)))
    return rows

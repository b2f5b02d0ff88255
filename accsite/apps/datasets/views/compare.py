"""Two datasets beside each other: samples, histograms on one axis, pixels, and who lies nearest to whom."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import numpy as np
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from acc.data.browse import PixelFacts
from acc.data.pixels import as_uint8
from acc.errors import InvalidInput
from acc.render import reconstruction_rows, sprite
from accsite.apps.datasets import pages, plots, selectors
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.views.common import lasting
from accsite.pages import REFUSED

SAMPLES, COLUMNS = 32, 8
NEIGHBOURS = 10
BINS = 30


@require_GET
def compare(request: HttpRequest) -> HttpResponse:
    """Show ``?a=`` and ``?b=``; ``?offset=`` is the first sample of ``a`` whose neighbour is shown."""
    known = list(Dataset.objects.order_by("name"))
    found = {side: _named(request.GET.get(side, "")) for side in ("a", "b")}
    a, b = found["a"], found["b"]
    context: dict[str, Any] = {
        "place": "datasets",
        "known": known,
        "a": a,
        "b": b,
        "unknown": [
            f"There is no dataset {request.GET[side]!r}."
            for side in found
            if request.GET.get(side) and not found[side]
        ],
    }
    status = REFUSED if context["unknown"] else 200
    if a is not None and b is not None:
        try:
            context |= _compared(a, b, _offset(request, a))
        except InvalidInput as error:
            context["unknown"], status = [str(error)], REFUSED
    return render(request, "datasets/compare.html", context, status=status)


def _named(slug: str) -> Dataset | None:
    return Dataset.objects.filter(slug=slug).first()


def _offset(request: HttpRequest, a: Dataset) -> int:
    text = request.GET.get("offset", "0")
    number = int(text) if text.isdecimal() and len(text) < 12 else 0
    return min(number, (a.n - 1) // NEIGHBOURS * NEIGHBOURS)


def _compared(a: Dataset, b: Dataset, offset: int) -> dict[str, Any]:
    found = selectors.compare(a, b, bins=BINS)
    columns = {target["name"]: target for target in a.targets}
    two = {"a": a.slug, "b": b.slug}
    here = reverse("datasets:compare")
    shown: dict[str, Any] = {
        "sides": [_side(a, "a", found["pixels"]["a"]), _side(b, "b", found["pixels"]["b"])],
        "shared": [
            {
                "name": each["target"],
                "unit": columns[each["target"]].get("unit") or "",
                "bars": plots.bars(
                    each["edges"], each["a"], each["b"], target=columns[each["target"]], shares=True
                ),
                "ends": (
                    plots.bin_words(each["edges"], 0, columns[each["target"]]).partition(" to ")[0],
                    plots.bin_words(
                        each["edges"], len(each["edges"]) - 2, columns[each["target"]]
                    ).rpartition(" to ")[2],
                ),
            }
            for each in found["targets"]
        ],
        "same_shape": found["same_shape"],
        "mean_difference": found["pixels"]["mean_difference"],
        "swapped": f"{here}?{urlencode({'a': b.slug, 'b': a.slug})}",
        "api_path": f"{reverse('api:dataset-compare')}?{urlencode(two)}",
        "size": (a.width, a.height),
    }
    if found["same_shape"]:
        near = selectors.nearest(a, b, offset=offset, limit=NEIGHBOURS)
        shown |= {
            "pairs": list(zip(near["a"], near["b"], near["distances"], strict=True)),
            "looked_at": near["looked_at"],
            "neighbours_url": f"{reverse('datasets:neighbours')}?{urlencode({**two, 'offset': offset})}",
            "neighbours_size": (a.width * len(near["a"]), a.height * 3),
            "difference_url": f"{reverse('datasets:difference')}?{urlencode(two)}",
            "greatest": float(np.abs(_means(a, b)[0] - _means(a, b)[1]).max()),
            "offset": offset,
            "earlier": f"{here}?{urlencode({**two, 'offset': offset - NEIGHBOURS})}" if offset else "",
            "later": f"{here}?{urlencode({**two, 'offset': offset + NEIGHBOURS})}"
            if offset + NEIGHBOURS < a.n
            else "",
        }
    return shown


def _side(dataset: Dataset, name: str, pixels: PixelFacts) -> dict[str, Any]:
    count = min(SAMPLES, dataset.n)
    return {
        "name": name,
        "dataset": dataset,
        "pixels": pixels,
        "sprite_url": pages.sprite_url(dataset, limit=count, columns=COLUMNS),
        "width": min(COLUMNS, count) * dataset.width,
        "height": -(-count // COLUMNS) * dataset.height,
        "count": count,
        "mean_url": reverse("api:dataset-mean", args=[dataset.slug]) + f"?v={dataset.content_hash[:8]}",
    }


def _means(a: Dataset, b: Dataset) -> tuple[Any, Any]:
    return selectors.statistics(a)["mean"], selectors.statistics(b)["mean"]


def _two(request: HttpRequest) -> tuple[Dataset, Dataset]:
    a, b = (_named(request.GET.get(side, "")) for side in ("a", "b"))
    if a is None or b is None or (a.channels, a.height, a.width) != (b.channels, b.height, b.width):
        raise Http404("name two datasets whose images are of one shape")
    return a, b


@require_GET
def difference(request: HttpRequest) -> HttpResponse:
    """Return a PNG of |mean of a - mean of b|, brightest where it is greatest."""
    ours, theirs = _means(*_two(request))
    apart = np.abs(ours - theirs)
    return lasting(
        sprite(as_uint8((apart / max(float(apart.max()), 1e-9))[None].astype(np.float32)), columns=1)
    )


@require_GET
def neighbours(request: HttpRequest) -> HttpResponse:
    """Return a PNG of three rows: samples of a from ``?offset=``, the nearest of b to each, and |a - b|."""
    a, b = _two(request)
    found = selectors.nearest(a, b, offset=_offset(request, a), limit=NEIGHBOURS)
    rows = [
        as_uint8(np.asarray(selectors.opened(dataset).images[np.asarray(numbers)]))
        for numbers, dataset in ((found["a"], a), (found["b"], b))
    ]
    return lasting(reconstruction_rows(*rows))

"""Datasets over HTTP: rows to list, rename, remove and restore, and what is in them without reading the whole file."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from acc.data import exporters
from acc.data.browse import pixel_facts
from acc.errors import InvalidInput
from acc.params import Param
from accsite.api.common import REFUSALS, narrowed, query
from accsite.apps.datasets import selectors, services
from accsite.apps.datasets.api.serializers import (
    ComparisonSerializer,
    DatasetChangeSerializer,
    DatasetSerializer,
    HistogramSerializer,
    NearestSerializer,
    PairsSerializer,
    SamplesSerializer,
    StatisticsSerializer,
    TargetValuesSerializer,
)
from accsite.apps.datasets.models import Dataset
from accsite.streaming import download

MAX_SAMPLES = 1_000
MAX_NEIGHBOURS = 64
OFFSET = query("offset", "first sample, from 0", OpenApiTypes.INT, default=0)
LIMIT = query("limit", f"how many, up to {MAX_SAMPLES}", OpenApiTypes.INT, default=64)
COUNT = query("n", f"how many, up to {MAX_SAMPLES}", OpenApiTypes.INT, default=64)
COLUMNS = query("columns", "images to a row", OpenApiTypes.INT, default=8)
BINS = query("bins", "1 to 200; classes have one each", OpenApiTypes.INT, default=30)
CHOICE = [
    query("sort", "a target; default: by number"),
    OpenApiParameter("order", OpenApiTypes.STR, enum=["asc", "desc"], default="asc"),
    query("<target>.min", "least value of a target, included", OpenApiTypes.NUMBER),
    query("<target>.max", "greatest value of a target, included", OpenApiTypes.NUMBER),
    query("<target>.in", "classes of a target: 3,5 or labels"),
]
TWO = [query("a", "slug of a dataset", required=True), query("b", "slug of another", required=True)]
PNG = {(200, "image/png"): OpenApiTypes.BINARY}
_PLAIN = {"offset", "limit", "n", "columns", "bins", "target", "x", "y", "a", "b", "format", "v"}


class AnyFormat(DefaultContentNegotiation):
    """``format`` names a file's format here, and not that of the answer."""

    def filter_renderers(self, renderers: Iterable[BaseRenderer], format: str) -> list[BaseRenderer]:
        del format
        return list(renderers)


@narrowed(query("q", "part of the name"), query("removed", "1: those that can be restored"))
class DatasetViewSet(viewsets.ReadOnlyModelViewSet[Dataset]):
    """Datasets by slug."""

    ordering_fields = ("name", "n", "size_bytes", "created_at")
    serializer_class = DatasetSerializer
    lookup_field = "slug"
    queryset = Dataset.objects.none()

    def get_queryset(self) -> QuerySet[Dataset]:
        """Return the datasets by name, filtered when they are listed."""
        query = self.request.query_params
        rows = Dataset.objects.all()
        if self.action == "restore":
            rows = Dataset.every.all()
        elif self.action == "list":
            if query.get("removed") == "1":
                rows = Dataset.every.exclude(removed_at=None)
            rows = rows.filter(name__icontains=query.get("q", ""))
        return rows.select_related("created_by")

    @extend_schema(request=DatasetChangeSerializer, responses={200: DatasetSerializer, **REFUSALS})
    def partial_update(self, request: Request, **_slug: Any) -> Response:
        """Rename a dataset; its address stays."""
        data = request.data if isinstance(request.data, dict) else {}
        unknown = sorted(set(data) - {"name"})
        if unknown or "name" not in data:
            raise InvalidInput(
                {(unknown or ["name"])[0]: "send the new name, and nothing else can be changed"}
            )
        renamed = services.rename(actor=request.user, dataset=self.get_object(), name=data["name"])
        return Response(self.get_serializer(renamed).data)

    @extend_schema(responses={204: None, **REFUSALS})
    def destroy(self, request: Request, **_slug: Any) -> Response:
        """Remove a dataset that nobody uses; `restore` undoes it for a week."""
        services.remove(actor=request.user, dataset=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses={200: DatasetSerializer, **REFUSALS})
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, **_slug: Any) -> Response:
        """Undo the removal."""
        restored = services.restore(actor=request.user, dataset=self.get_object())
        return Response(self.get_serializer(restored).data)

    @extend_schema(parameters=[*CHOICE, OFFSET, LIMIT], responses={200: SamplesSerializer, **REFUSALS})
    @action(detail=True)
    def samples(self, request: Request, **_slug: Any) -> Response:
        """List samples, sorted and filtered by targets: their numbers and values; `sprite` shows the same."""
        dataset = self.get_object()
        query = _choice(request)
        offset, limit = _whole(request, "offset", 0, 0), _whole(request, "limit", 64, 1, MAX_SAMPLES)
        return Response(selectors.samples(dataset, query, offset=offset, limit=limit))

    @extend_schema(parameters=[*CHOICE, OFFSET, LIMIT, COLUMNS], responses={**PNG, **REFUSALS})
    @action(detail=True)
    def sprite(self, request: Request, **_slug: Any) -> HttpResponse:
        """Return one PNG of the same samples, pixel for pixel, `columns` to a row."""
        dataset = self.get_object()
        found = selectors.rows(dataset, _choice(request))
        if len(found) == 0:
            raise InvalidInput({"__all__": "no sample passes these filters"})
        offset = _whole(request, "offset", 0, 0, len(found) - 1)
        limit = _whole(request, "limit", 64, 1, MAX_SAMPLES)
        columns = _whole(request, "columns", 8, 1, MAX_SAMPLES)
        tag = _tag(dataset, request)
        if request.headers.get("If-None-Match") == tag:
            return _lasting(HttpResponse(status=304), tag)
        indices = np.asarray(found[offset : offset + limit], dtype=np.int64)
        data = selectors.picture(dataset, indices, columns=columns)
        return _lasting(HttpResponse(data, content_type="image/png"), tag)

    @extend_schema(parameters=[OFFSET, COUNT], responses=TargetValuesSerializer)
    @action(detail=True)
    def targets(self, request: Request, **_slug: Any) -> Response:
        """Return the target values of consecutive samples, column by column."""
        dataset = self.get_object()
        offset = _whole(request, "offset", 0, 0, dataset.n - 1)
        n = min(_whole(request, "n", 64, 1, MAX_SAMPLES), dataset.n - offset)
        found = selectors.samples(dataset, {}, offset=offset, limit=n)
        return Response({"offset": offset, "n": n, "total": dataset.n, "columns": found["values"]})

    @extend_schema(
        parameters=[OpenApiParameter("target", OpenApiTypes.STR, required=True), BINS, *CHOICE[2:]],
        responses={200: HistogramSerializer, **REFUSALS},
    )
    @action(detail=True)
    def histogram(self, request: Request, **_slug: Any) -> Response:
        """Count the samples in each bin of a target; with filters, also those that pass them."""
        target = request.query_params.get("target", "")
        bins = _whole(request, "bins", 30, 1, 200)
        return Response(selectors.histogram(self.get_object(), target, _choice(request), bins=bins))

    @extend_schema(
        parameters=[
            OpenApiParameter("x", OpenApiTypes.STR, required=True),
            OpenApiParameter("y", OpenApiTypes.STR, required=True),
            BINS,
        ],
        responses={200: PairsSerializer, **REFUSALS},
    )
    @action(detail=True)
    def pairs(self, request: Request, **_slug: Any) -> Response:
        """Count the samples in each bin of two targets together."""
        x, y = request.query_params.get("x", ""), request.query_params.get("y", "")
        return Response(selectors.pairs(self.get_object(), x, y, bins=_whole(request, "bins", 30, 1, 200)))

    @extend_schema(responses={200: StatisticsSerializer, **REFUSALS})
    @action(detail=True)
    def statistics(self, *_: Request, **_slug: Any) -> Response:
        """Return the mean and the spread of the pixels."""
        return Response(pixel_facts(selectors.statistics(self.get_object())))

    @extend_schema(responses={**PNG, **REFUSALS})
    @action(detail=True, url_path="mean")
    def mean(self, request: Request, **_slug: Any) -> HttpResponse:
        """Return one PNG of the mean image and, beside it, the spread of each pixel, brightest where it is greatest."""
        dataset = self.get_object()
        data = selectors.statistics_picture(dataset)
        return _lasting(HttpResponse(data, content_type="image/png"), _tag(dataset, request))

    @extend_schema(parameters=[*TWO, BINS], responses={200: ComparisonSerializer, **REFUSALS})
    @action(detail=False)
    def compare(self, request: Request) -> Response:
        """Compare two datasets: histograms on one axis, pixel statistics."""
        a, b = _two(request)
        return Response(selectors.compare(a, b, bins=_whole(request, "bins", 30, 1, 200)))

    @extend_schema(parameters=[*TWO, OFFSET, LIMIT], responses={200: NearestSerializer, **REFUSALS})
    @action(detail=False)
    def nearest(self, request: Request) -> Response:
        """Find the nearest image of `b` to each of some samples of `a`, by the difference of their pixels."""
        a, b = _two(request)
        offset = _whole(request, "offset", 0, 0, a.n - 1)
        limit = _whole(request, "limit", 16, 1, MAX_NEIGHBOURS)
        return Response(selectors.nearest(a, b, offset=offset, limit=limit))

    @extend_schema(
        parameters=[OpenApiParameter("format", OpenApiTypes.STR, enum=list(exporters.KINDS), required=True)],
        responses={
            **{(200, kind): OpenApiTypes.BINARY for kind in sorted(set(exporters.CONTENT_TYPES.values()))},
            **REFUSALS,
        },
    )
    @action(detail=True, content_negotiation_class=AnyFormat)
    def export(self, request: Request, **_slug: Any) -> StreamingHttpResponse:
        """Download a dataset as .npz, .pt, a zip of PNGs with its table, or the table of targets as CSV."""
        dataset = self.get_object()
        kind = request.query_params.get("format", "")
        pieces = exporters.export(selectors.opened(dataset), kind)
        name = f"{dataset.slug}.{kind}"
        return download(request._request, pieces, name=name, content_type=exporters.CONTENT_TYPES[kind])


def _choice(request: Request) -> dict[str, str]:
    """Return the query parameters that choose samples; raises InvalidInput for those that mean nothing."""
    query = {name: str(text) for name, text in request.query_params.items() if name not in _PLAIN}
    unknown = [
        name
        for name in query
        if name not in {"sort", "order"} and name.rpartition(".")[2] not in {"min", "max", "in"}
    ]
    if unknown:
        right = "sort, order, <target>.min, <target>.max, <target>.in"
        raise InvalidInput({name: f"{name!r} is not known here; known: {right}" for name in unknown})
    return query


def _two(request: Request) -> tuple[Dataset, Dataset]:
    found, errors = {}, {}
    for side in ("a", "b"):
        try:
            found[side] = selectors.get(request.query_params.get(side))
        except InvalidInput as error:
            errors[side] = error.fields["dataset"]
    if errors:
        raise InvalidInput(errors)
    return found["a"], found["b"]


def _tag(dataset: Dataset, request: Request) -> str:
    query = "&".join(f"{name}={text}" for name, text in sorted(request.query_params.items()))
    return f'"{dataset.content_hash[:16]}-{abs(zlib.crc32(query.encode()))}"'


def _lasting(response: HttpResponse, tag: str) -> HttpResponse:
    # A dataset never changes, and what it holds may be private to those who sign in.
    response["Cache-Control"] = "private, max-age=86400"
    response["ETag"] = tag
    return response


def _whole(request: Request, name: str, default: int, least: int, most: int | None = None) -> int:
    value: Any = request.query_params.get(name, default)
    try:
        return int(Param(default, min=least, max=most, type="int").clean(value))
    except ValueError as error:
        raise InvalidInput({name: str(error)}) from error

"""Datasets over HTTP: rows, and pictures and targets of consecutive samples without reading the whole file."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from acc.data import AccDataset
from acc.errors import InvalidInput
from acc.params import Param
from acc.render import sprite
from accsite.apps.datasets import selectors
from accsite.apps.datasets.api.serializers import DatasetSerializer, TargetValuesSerializer
from accsite.apps.datasets.models import Dataset
from accsite.blobs import BlobDamaged
from accsite.errors import WrongState

MAX_SAMPLES = 1_000
MAX_SPRITE_PIXELS = 2**24
OFFSET = OpenApiParameter("offset", OpenApiTypes.INT, description="first sample, from 0", default=0)
COUNT = OpenApiParameter("n", OpenApiTypes.INT, description=f"how many, up to {MAX_SAMPLES}", default=64)
COLUMNS = OpenApiParameter("columns", OpenApiTypes.INT, description="images to a row", default=8)


@extend_schema_view(
    list=extend_schema(parameters=[OpenApiParameter("q", OpenApiTypes.STR, description="part of the name")])
)
class DatasetViewSet(viewsets.ReadOnlyModelViewSet[Dataset]):
    """Datasets by slug."""

    serializer_class = DatasetSerializer
    lookup_field = "slug"
    queryset = Dataset.objects.none()

    def get_queryset(self) -> QuerySet[Dataset]:
        """Return the datasets by name, filtered when they are listed."""
        query = self.request.query_params.get("q", "") if self.action == "list" else ""
        return Dataset.objects.filter(name__icontains=query).select_related("created_by")

    @extend_schema(
        parameters=[OFFSET, COUNT, COLUMNS],
        responses={(200, "image/png"): OpenApiTypes.BINARY},
    )
    @action(detail=True, url_path="samples")
    def samples(self, request: Request, **_slug: Any) -> HttpResponse:
        """Return one PNG of consecutive samples, pixel for pixel, ``columns`` to a row."""
        dataset = self.get_object()
        offset, n = _range(request, dataset)
        columns = _whole(request, "columns", 8, 1, MAX_SAMPLES)
        rows = -(-n // min(columns, n))
        pixels = rows * min(columns, n) * dataset.height * dataset.width
        if pixels > MAX_SPRITE_PIXELS:
            fit = max(1, MAX_SPRITE_PIXELS // (dataset.height * dataset.width))
            size = f"{dataset.height} x {dataset.width}"
            raise InvalidInput({"n": f"{n} images of {size} make too large a picture; ask for up to {fit}"})
        data = _load(dataset)
        picture = sprite(np.asarray(data.images[offset : offset + n]), columns=min(columns, n))
        response = HttpResponse(picture, content_type="image/png")
        # A dataset never changes, and what it holds may be private to those who sign in.
        response["Cache-Control"] = "private, max-age=86400"
        response["ETag"] = f'"{dataset.content_hash[:16]}-{offset}-{n}-{columns}"'
        return response

    @extend_schema(parameters=[OFFSET, COUNT], responses=TargetValuesSerializer)
    @action(detail=True, url_path="targets")
    def targets(self, request: Request, **_slug: Any) -> Response:
        """Return the target values of consecutive samples, column by column."""
        dataset = self.get_object()
        offset, n = _range(request, dataset)
        data = _load(dataset)
        columns = {name: values[offset : offset + n].tolist() for name, values in data.targets.items()}
        return Response({"offset": offset, "n": n, "total": dataset.n, "columns": columns})


def _load(dataset: Dataset) -> AccDataset:
    try:
        return AccDataset.load(selectors.local_path(dataset))
    except BlobDamaged as error:
        raise WrongState({"file": str(error)}) from error


def _range(request: Request, dataset: Dataset) -> tuple[int, int]:
    offset = _whole(request, "offset", 0, 0, dataset.n - 1)
    return offset, min(_whole(request, "n", 64, 1, MAX_SAMPLES), dataset.n - offset)


def _whole(request: Request, name: str, default: int, least: int, most: int) -> int:
    value: Any = request.query_params.get(name, default)
    try:
        return int(Param(default, min=least, max=most, type="int").clean(value))
    except ValueError as error:
        raise InvalidInput({name: str(error)}) from error

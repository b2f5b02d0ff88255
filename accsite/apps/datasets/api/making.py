"""Making datasets over HTTP: uploads that become datasets, generators with previews. Each answers with its job."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions, status
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from acc.data.importers import CLASSES
from acc.errors import InvalidInput
from accsite.api.common import KEY, REFUSALS
from accsite.api.lookup import body, flag, nested
from accsite.api.parsers import BodyTooLarge
from accsite.api.unavailable import Unavailable
from accsite.apps.datasets.api import schema
from accsite.apps.datasets.services import generation, uploads
from accsite.apps.jobs.api import schema as job_schema
from accsite.apps.jobs.api.answers import queued
from accsite.apps.registry import previews
from accsite.problems import Problem

INVALID = {422: REFUSALS[422]}
EXISTS = {409: OpenApiResponse(Problem, "`existing` is the dataset that the same request has made before.")}
FORM_BYTES = 2**20
"""What a form of uploads may hold beside the files."""
UPLOAD = {
    "multipart/form-data": {
        "type": "object",
        "properties": {
            "file": {
                "type": "string",
                "format": "binary",
                "description": "IDX (gzipped or not), .npz, .npy, .pt, a zip of images, or a dataset of ACC",
            },
            "labels": {
                "type": "string",
                "format": "binary",
                "description": "targets: IDX, .npy or CSV for IDX and .npy, CSV for images",
            },
            "name": {"type": "string", "description": "default: after the file"},
            "pixels": {"type": "string", "enum": list(generation.PIXELS), "default": "uint8"},
            "scale": {
                "type": "string",
                "description": "the pixel values that are black and white, LOW..HIGH; default: as found, if clear",
            },
            "part": {"type": "string", "description": "the part of a split to take; default: all"},
            "classes": {
                "type": "string",
                "enum": list(CLASSES),
                "description": "whether folders are classes",
            },
            "look": {
                "type": "boolean",
                "description": "only look: what is found and asked is in the job's result, and nothing is kept",
            },
            "job": {"type": "integer", "description": "in place of a file: the job that has looked at it"},
        },
    }
}


class ImportView(APIView):
    """Uploads that become datasets."""

    parser_classes = [MultiPartParser]

    @extend_schema(
        operation_id="datasets_import",
        request=UPLOAD,
        parameters=[KEY],
        responses={
            202: job_schema.JobState,
            **INVALID,
            413: OpenApiResponse(Problem, "More than ACC_MAX_DATASET_BYTES."),
        },
    )
    def post(self, request: Request) -> Response:
        """Take a file in by a job; watch it as any other. With `look` it only says what it found, and what it asks.

        Within a day `job` keeps what was looked at. Without a look, a job fails that must ask something.
        """
        limit = settings.ACC_MAX_DATASET_BYTES
        length = str(request.META.get("CONTENT_LENGTH") or "0")
        if length.isdecimal() and int(length) > 2 * limit + FORM_BYTES:  # before it is looked into
            raise BodyTooLarge(f"the request has {int(length):,} bytes; a file may have {limit:,}")
        data: Any = request.data
        unknown = sorted(set(data) - {"file", "labels", "name", "pixels", "look", "job", *generation.ANSWERS})
        if unknown:
            raise InvalidInput({name: f"{name!r} is not a field here" for name in unknown})
        name, pixels = str(data.get("name", "")), str(data.get("pixels", "uint8"))
        answers = {field: str(data[field]) for field in generation.ANSWERS if data.get(field)}
        generation.check_import(name=name, pixels=pixels, answers=answers)
        look = _yes(data.get("look", "false"))
        looked = generation.looked_at(request.user, data["job"]) if data.get("job") else None
        file, labels = _file(data, "file", needed=looked is None), _file(data, "labels")
        if looked is not None and (file is not None or labels is not None):
            raise InvalidInput({"job": "give a file, or the job that has looked at one, not both"})
        job = generation.submit_import(
            actor=request.user,
            upload=uploads.keep(file) if file is not None else None,
            labels=uploads.keep(labels, field="labels") if labels is not None else None,
            name=name,
            pixels=pixels,
            answers=answers,
            look=look,
            looked=looked,
            idempotency_key=request.headers.get("Idempotency-Key"),
        )
        return queued(request, job, status.HTTP_202_ACCEPTED)


class GenerateView(APIView):
    """Datasets made by generators."""

    @extend_schema(
        operation_id="generators_generate",
        request=schema.GenerateRequest,
        parameters=[KEY],
        responses={202: job_schema.JobState, **INVALID, **EXISTS},
    )
    def post(self, request: Request) -> Response:
        """Make a dataset by a job; `force` makes anew what exists."""
        data = body(request, "kind", "generator", "params", "n", "seed", "name", "force")
        job = generation.submit_generation(
            actor=request.user,
            generator=data.get("generator", ""),
            params=nested(data, "params"),
            n=data.get("n"),
            seed=data.get("seed", 0),
            name=data.get("name", ""),
            force=flag(data, "force", default=False),
            idempotency_key=request.headers.get("Idempotency-Key"),
        )
        return queued(request, job, status.HTTP_202_ACCEPTED)


class RegenerationView(APIView):
    """What a dataset was made from."""

    @extend_schema(operation_id="datasets_regeneration", responses={200: OpenApiTypes.OBJECT, **INVALID})
    def get(self, _request: Request, slug: str) -> Response:
        """Return generator, params, n and seed of a dataset, and a free name: what a duplicate begins with."""
        return Response(generation.regeneration(slug))


def _yes(value: object) -> bool:
    """Return a field of a form as true or false."""
    words = {"true": True, "false": False, "": False}
    text = str(value).lower()
    if text not in words:
        raise InvalidInput({"look": f"{value!r} is neither true nor false"})
    return words[text]


def _file(data: Any, field: str, *, needed: bool = False) -> UploadedFile[Any] | None:
    value = data.get(field)
    if isinstance(value, UploadedFile):
        return value
    if value or needed:
        raise InvalidInput({field: "send a file here, as multipart/form-data"})
    return None


class PreviewView(APIView):
    """Previews of generators."""

    @extend_schema(
        operation_id="generators_preview",
        request=schema.PreviewRequest,
        responses={
            200: schema.GeneratorPreview,
            **INVALID,
            409: OpenApiResponse(Problem, "The same page has asked for another meanwhile."),
            503: OpenApiResponse(Problem, "None could be made in time."),
        },
    )
    def post(self, request: Request) -> Response:
        """Make eight images of a generator, within two seconds; `form` names the page that asks."""
        data = body(request, "generator", "params", "seed", "form")
        who = f"{request.user.pk}:{str(data.get('form', ''))[:64]}"
        try:
            made = previews.make(
                who=who,
                generator=data.get("generator", ""),
                params=nested(data, "params"),
                seed=data.get("seed", 0),
            )
        except previews.NoPreview as error:
            raise Unavailable(str(error)) from error
        url = reverse("api:generator-preview-picture", args=[made.key])
        return Response({**asdict(made), "url": url, "columns": made.n})


class PreviewPictureView(APIView):
    """Pictures of previews."""

    @extend_schema(
        operation_id="generators_preview_picture", responses={(200, "image/png"): OpenApiTypes.BINARY}
    )
    def get(self, _request: Request, key: str) -> HttpResponse:
        """Return the images of a preview in one row; kept for ten minutes."""
        data = previews.picture(key)
        if data is None:
            raise exceptions.NotFound("this preview is no longer kept; ask for it again")
        response = HttpResponse(data, content_type="image/png")
        response["Cache-Control"] = "private, max-age=600, immutable"
        return response

"""Making datasets over HTTP: files that become datasets, generators with previews. Each answers with its job."""

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

from acc.data.importers import propose
from acc.data.importers.mapping import ImportMapping
from acc.errors import InvalidInput
from accsite.api.common import KEY, REFUSALS
from accsite.api.lookup import body, flag, nested
from accsite.api.parsers import BodyTooLarge, BoundedJSONParser
from accsite.api.unavailable import Unavailable
from accsite.apps.datasets import looks, mapping_options
from accsite.apps.datasets.api import schema
from accsite.apps.datasets.services import generation, imports, uploads
from accsite.apps.datasets.services import on_server as places
from accsite.apps.datasets.services.imports import OnServer
from accsite.apps.jobs.api import schema as job_schema
from accsite.apps.jobs.api.answers import queued
from accsite.apps.jobs.models import Job
from accsite.apps.registry import previews
from accsite.ids import row_id
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
                "type": "array",
                "items": {"type": "string", "format": "binary"},
                "description": "one file, or all files of a folder: arrays, archives, images with tables, IDX",
            },
            "paths": {
                "type": "string",
                "description": "of several files: where each lies in their folder, a JSON list; default: side by side",
            },
            "labels": {
                "type": "string",
                "format": "binary",
                "description": "targets in a file of their own: IDX, .npy or a table",
            },
            "name": {"type": "string", "description": "default: after the file"},
            "mapping": {
                "type": "string",
                "description": "what is to become of it, whole, in JSON; default: as is proposed",
            },
            "like": {"type": "string", "description": "a dataset, whose mapping is taken"},
            "scale": {
                "type": "string",
                "description": "the pixel values that are black and white, LOW..HIGH; default: as found, if clear",
            },
            "pixels": {"type": "string", "enum": ["uint8", "float32"], "default": "uint8"},
            "part": {"type": "string", "description": "the part of a split to take; default: all"},
            "look": {
                "type": "boolean",
                "description": "only look: nothing is kept, and datasets/import/{job}/ says what was found",
            },
            "job": {"type": "integer", "description": "in place of a file: the job that has looked at it"},
            "path": {
                "type": "string",
                "description": "in place of a file: of one on the server, below ACC_IMPORT_ROOTS",
            },
        },
    },
    "application/json": schema.ImportRequest,
}
FILES = {"file", "labels"}
TOLD = {"paths", "name", "mapping", "like", "scale", "pixels", "part", "parts", "look", "job", "path"}


class ImportView(APIView):
    """Files that become datasets."""

    parser_classes = [MultiPartParser, BoundedJSONParser]

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
        """Take files in by a job; watch it as any other. With `look` it only says what it found, and what it asks.

        Within a day `job` imports what was looked at, by a `mapping` or as is proposed. A job fails that must ask.
        """
        limit = settings.ACC_MAX_DATASET_BYTES
        length = str(request.META.get("CONTENT_LENGTH") or "0")
        if length.isdecimal() and int(length) > 2 * limit + FORM_BYTES:  # before it is looked into
            raise BodyTooLarge(f"the request has {int(length):,} bytes; a file may have {limit:,}")
        data: Any = request.data
        if not hasattr(data, "get"):
            raise InvalidInput({"__all__": "send an object with a job, or a path"})
        unknown = sorted(set(data) - FILES - TOLD)
        if unknown:
            raise InvalidInput({name: f"{name!r} is not a field here" for name in unknown})
        name, path = str(data.get("name") or ""), str(data.get("path") or "")
        mapping, changes = _mapping(data), _changes(data)
        imports.check_import(name=name, mapping=mapping, changes=changes)
        look = _yes(data.get("look") or "false")
        looked = imports.looked_at(request.user, data["job"]) if data.get("job") else None
        files, labels = _files(data, needed=looked is None and not path), _labels(data, on_server=bool(path))
        if looked is not None and (files or labels is not None or path):
            raise InvalidInput({"job": "give a file, or the job that has looked at one, not both"})
        upload = (
            None
            if looked is not None
            else uploads.source_of(files, paths=str(data.get("paths") or ""), path=path)
        )
        job = imports.submit_import(
            actor=request.user,
            upload=upload,
            labels=uploads.keep(labels, field="labels") if isinstance(labels, UploadedFile) else labels,
            name=name,
            mapping=mapping,
            changes=changes,
            look=look,
            looked=looked,
            idempotency_key=request.headers.get("Idempotency-Key"),
        )
        return queued(request, job, status.HTTP_202_ACCEPTED)


class LookView(APIView):
    """What jobs have found in files."""

    @extend_schema(operation_id="datasets_look", responses={200: schema.ImportLook, **REFUSALS})
    def get(self, request: Request, pk: int) -> Response:
        """Return what a job has found, the mapping that it proposes, and how images and targets come out by it."""
        job = _look(request, pk)
        look = looks.of(job)
        kept = imports.kept_by(job)
        answer: dict[str, Any] = {
            "job": job.pk,
            "state": job.state,
            "message": job.message,
            "source": None,
            "mapping": None,
            "questions": [],
            "errors": {},
            "preview": None,
            "command": [],
            "imported": (kept.result or {}).get("slug") if kept is not None else None,
        }
        if look is not None:
            answer |= look.as_result()
            answer["command"] = mapping_options.spelled(look.mapping, look.source, propose(look.source))
            if look.picture is not None:
                url = reverse("api:dataset-look-picture", args=[look.job.pk], request=request)
                answer["preview"] = {**answer["preview"], "url": url, "n": look.picture["n"]}
                del answer["preview"]["picture"]
        return Response(answer)


class LookPictureView(APIView):
    """Pictures of previews of imports."""

    @extend_schema(
        operation_id="datasets_look_picture",
        responses={(200, "image/png"): OpenApiTypes.BINARY, 404: OpenApiResponse(Problem, "There is none.")},
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        """Return the images of a preview in one row, shrunk if they are large."""
        data = looks.picture_of(_look(request, pk))
        if data is None:
            raise exceptions.NotFound("there is no preview of this, or it is kept no longer; look again")
        response = HttpResponse(data, content_type="image/png")
        response["Cache-Control"] = "private, max-age=86400"
        return response


def _look(request: Request, pk: int) -> Job:
    """Return the job that looks at files; raises NotFound."""
    found = imports.looks_of(request.user).filter(pk=row_id(pk)).first()
    if found is None:
        raise exceptions.NotFound("there is no job of this number that looks at files")
    return found


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


def _mapping(data: Any) -> dict[str, Any] | None:
    """Return the mapping that is told, whole or by a dataset; raises InvalidInput (mapping, like)."""
    told = data.get("mapping") or None
    if told is not None and data.get("like"):
        raise InvalidInput({"like": "give a mapping, or a dataset whose mapping is taken, not both"})
    if told is not None:
        try:
            return ImportMapping.parse(told).model_dump(mode="json")
        except InvalidInput as error:  # what is no JSON at all has no field of its own
            fields = {"mapping" if name == "__all__" else name: said for name, said in error.fields.items()}
            raise InvalidInput(fields) from error
    return imports.mapping_of(data["like"]) if data.get("like") else None


def _changes(data: Any) -> dict[str, Any]:
    """Return what is told of a mapping without the rest of it."""
    changes = {field: data[field] for field in ("scale", "pixels") if data.get(field)}
    if data.get("part"):
        changes["parts"] = [] if data["part"] == "all" else [str(data["part"])]
    elif data.get("parts") is not None:
        changes["parts"] = data["parts"]
    return changes


def _files(data: Any, *, needed: bool) -> list[UploadedFile[Any]]:
    """Return the files that are sent; raises InvalidInput (file)."""
    found = data.getlist("file") if hasattr(data, "getlist") else [data["file"]] if data.get("file") else []
    files = [each for each in found if isinstance(each, UploadedFile)]
    if len(files) < len([each for each in found if each]) or (needed and not files):
        raise InvalidInput({"file": "send a file here, as multipart/form-data"})
    return files


def _labels(data: Any, *, on_server: bool) -> UploadedFile[Any] | OnServer | None:
    """Return the file of targets, that is sent or lies on the server; raises InvalidInput (labels)."""
    value = data.get("labels")
    if isinstance(value, UploadedFile):
        return value
    if value and on_server:
        return OnServer(str(places.found(str(value), field="labels")))
    if value:
        raise InvalidInput({"labels": "send a file here, as multipart/form-data"})
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

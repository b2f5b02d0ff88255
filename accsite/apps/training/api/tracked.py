"""Where loops of one's own tell what they do: a run begins, its records come, and its weights. See ``acc.track``."""

from __future__ import annotations

import shutil
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.urls import path, reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from acc.errors import InvalidInput
from accsite import blobs
from accsite.api.common import REFUSALS, query
from accsite.api.lookup import body, whole_number
from accsite.api.parsers import BodyTooLarge
from accsite.apps.audit.trail import no_deed
from accsite.apps.training.api import schema
from accsite.apps.training.models import TrackedRun
from accsite.apps.training.services import tracked
from accsite.problems import Problem

TOO_LARGE = {413: OpenApiResponse(Problem, "More than ACC_MAX_BODY_BYTES, or ACC_IMPORT_BYTES of weights.")}


class RecordsParser(BaseParser):
    """Bytes as they are, of at most ACC_MAX_BODY_BYTES."""

    media_type = "application/octet-stream"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:  # noqa: ARG002
        data: bytes = stream.read(settings.ACC_MAX_BODY_BYTES + 1)
        if len(data) > settings.ACC_MAX_BODY_BYTES:
            raise BodyTooLarge(f"a body may have {settings.ACC_MAX_BODY_BYTES:,} bytes")
        return data


class TrackView(APIView):
    """Runs of loops of one's own."""

    @extend_schema(
        operation_id="track_begin",
        request=schema.TrackRequest,
        responses={200: schema.TrackedRun, **REFUSALS},
    )
    def post(self, request: Request) -> Response:
        """Begin a run, or find the one that began so; its experiment and branch are made where they are not there."""
        run = tracked.begin(actor=request.user, told=body(request, *schema.TrackRequest.model_fields))
        return Response(_told(run))


class TrackBlocksView(APIView):
    """The records of a run's journal."""

    parser_classes = [RecordsParser]
    throttle_classes = []  # a loop tells of itself twice a second, and several of one user may run

    @extend_schema(
        operation_id="track_blocks",
        request={"application/octet-stream": OpenApiTypes.BINARY},
        parameters=[
            query(
                "first",
                "number of the first record sent; that of the beginning is 0",
                OpenApiTypes.INT,
                required=True,
            ),
            query("live", "1: the loop is at it, which keeps the run for a lease", OpenApiTypes.INT),
        ],
        responses={200: schema.TrackedRun, **REFUSALS, **TOO_LARGE},
    )
    def post(self, request: Request, job: int) -> Response:
        """Take records in, as they lie in the journal; those that came before change nothing, none says it lives."""
        no_deed()
        tracked.find(request.user, job)  # before anything is read
        first = whole_number(request, "first", least=1)
        if first is None:
            raise InvalidInput(first="say the number of the first record that you send, from 1 on")
        body: Any = request.data  # as RecordsParser returns it; of another kind where nothing was sent
        data = body if isinstance(body, bytes) else b""
        live = request.query_params.get("live") == "1"
        return Response(
            _told(tracked.take(actor=request.user, job_id=job, first=first, data=data, live=live))
        )


class TrackWeightsView(APIView):
    """The weights that a run saved."""

    parser_classes = [MultiPartParser]

    @extend_schema(
        operation_id="track_weights",
        request={
            "multipart/form-data": {
                "type": "object",
                "properties": {
                    "sha256": {"type": "string"},
                    "file": {"type": "string", "format": "binary", "description": "safetensors"},
                },
                "required": ["sha256", "file"],
            }
        },
        responses={200: schema.TrackedRun, **REFUSALS, **TOO_LARGE},
    )
    def post(self, request: Request, job: int) -> Response:
        """Keep a file that a record of a checkpoint will name."""
        run = tracked.find(request.user, job)  # before anything is copied
        data: Any = request.data
        file = data.get("file")
        if not isinstance(file, UploadedFile):
            raise InvalidInput(file="send a safetensors file")
        copy = blobs.scratch_copy(file.chunks(), "weights.safetensors")
        try:
            tracked.keep_weights(
                actor=request.user, job_id=job, path=copy, sha256=str(data.get("sha256", ""))
            )
        finally:
            shutil.rmtree(copy.parent, ignore_errors=True)
        return Response(_told(run), status=status.HTTP_200_OK)


def _told(run: TrackedRun) -> dict[str, Any]:
    """Return what the sender of a run needs to know of it."""
    return {
        "job": run.job_id,
        "state": run.job.state,
        "taken": run.taken,
        "lease_seconds": float(settings.ACC_LEASE_SECONDS),
        "page": reverse("training:job", args=[run.job_id]),
    }


urlpatterns = [
    path("track/", TrackView.as_view(), name="track"),
    path("track/<int:job>/blocks/", TrackBlocksView.as_view(), name="track-blocks"),
    path("track/<int:job>/weights/", TrackWeightsView.as_view(), name="track-weights"),
]

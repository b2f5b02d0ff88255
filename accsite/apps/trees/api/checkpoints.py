"""The REST views of checkpoints: the nodes of experiments' trees."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from django.db.models import QuerySet
from django.http import FileResponse
from django.utils.http import quote_etag
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from acc.bundle import SUFFIX
from acc.description import ModelDescription
from acc.errors import InvalidInput
from accsite import blobs
from accsite.actions import perform
from accsite.api.common import REFUSALS, narrowed, query
from accsite.api.conditional import answer, not_modified
from accsite.api.lookup import body
from accsite.api.unavailable import Unavailable
from accsite.apps.registry import descriptions
from accsite.apps.training.api.common import ReadViewSet
from accsite.apps.training.models import Checkpoint, CheckpointKind
from accsite.apps.training.services.intact import require_intact
from accsite.apps.trees import selectors
from accsite.apps.trees.actions.delete_checkpoint import DeleteCheckpoint
from accsite.apps.trees.actions.mark_checkpoint import MarkCheckpoint
from accsite.apps.trees.api import schema
from accsite.apps.trees.api.serializers import CheckpointSerializer
from accsite.apps.trees.selectors.models import describe_checkpoint
from accsite.apps.trees.services import portable
from accsite.problems import Problem


@narrowed(
    query("experiment", "slug of an experiment"),
    query("branch", "id of a branch", OpenApiTypes.INT),
    query("job", "id of the job that made it", OpenApiTypes.INT),
    query("parent", "id of the checkpoint it grew from", OpenApiTypes.INT),
    query("kind", ", ".join(CheckpointKind.values)),
    query("tag", "the tag, whole"),
    query("starred", "1: those with a star"),
)
class CheckpointViewSet(ReadViewSet):
    """Checkpoints: the nodes of experiments' trees."""

    serializer_class = CheckpointSerializer
    queryset = Checkpoint.objects.none()
    ordering_fields = ("id", "step", "size_bytes", "created_at")

    def get_queryset(self) -> QuerySet[Checkpoint]:
        rows = Checkpoint.objects.filter(experiment__in=self.experiments()).select_related("experiment")
        if self.action == "list":
            rows = rows.defer("spec")
            if self.request.query_params.get("starred") == "1":
                rows = rows.filter(starred=True)
        return self.filtered(
            rows,
            experiment="experiment__slug",
            branch="branch_id",
            job="job_id",
            parent="parent_id",
            kind="kind",
            tag="tag",
        )

    @extend_schema(responses={200: schema.CheckpointDetail, 304: None})
    def retrieve(self, request: Request, **_: Any) -> Any:
        """Return a checkpoint with its specification, files, numbers, and what differs from its parent."""
        return answer(request, selectors.checkpoint_detail(self.get_object()))

    @extend_schema(
        operation_id="checkpoints_model",
        responses={
            200: ModelDescription,
            **REFUSALS,
            503: OpenApiResponse(Problem, "Nobody could find out in time."),
        },
        filters=False,
    )
    @action(detail=True, methods=["get"], url_path="model")
    def model(self, request: Request, **_: Any) -> Response:
        """Return what its model is made of: layers in the order in which they run, shapes, parameters, edges."""
        try:
            found = describe_checkpoint(self.get_object(), who=f"{request.user.pk}:api")
        except descriptions.NoDescription as error:
            raise Unavailable(str(error)) from error
        return Response(found.model_dump(mode="json"))

    @extend_schema(request=MarkCheckpoint, responses={200: CheckpointSerializer, **REFUSALS})
    def partial_update(self, request: Request, **_: Any) -> Response:
        """Tag, note or star it. Tags and stars keep it from being pruned."""
        checkpoint = self.get_object()
        data = body(request, *MarkCheckpoint.model_fields)
        perform(MarkCheckpoint, actor=request.user, thing=checkpoint, data=data)
        return Response(self.get_serializer(checkpoint).data)

    @extend_schema(
        parameters=[query("subtree", "1: also everything that grew from it")],
        responses={200: schema.DeletionAnswer, **REFUSALS},
    )
    def destroy(self, request: Request, **_: Any) -> Response:
        """Delete a leaf or a subtree; the experiment's `restore` undoes it."""
        whole = request.query_params.get("subtree") == "1"
        thing = self.get_object()
        made = perform(DeleteCheckpoint, actor=request.user, thing=thing, data={"subtree": whole})
        return Response(
            {
                "deletion": str(made.id),
                "checkpoints": list(made.checkpoints),
                "bytes": made.bytes,
                "undo_until": made.undo_until,
            }
        )

    @extend_schema(
        parameters=[query("licence", "text to put into the file, such as CC-BY-4.0")],
        responses={(200, "application/zip"): OpenApiTypes.BINARY, 304: None, **REFUSALS},
    )
    @action(detail=True, methods=["get"], url_path="export")
    def export(self, request: Request, **_: Any) -> Any:
        """Return it as one portable file: weights, specification, plugin sources, licence and provenance."""
        checkpoint = self.get_object()
        licence = request.query_params.get("licence", "")
        folder = Path(tempfile.mkdtemp(dir=blobs.scratch(), prefix="export-"))
        try:
            path = folder / f"{checkpoint.experiment.slug}-{checkpoint.pk}{SUFFIX}"
            portable.export_checkpoint(checkpoint=checkpoint, path=path, licence=licence)
            file = path.open("rb")
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # what is open can be read to its end
        return FileResponse(file, as_attachment=True, filename=path.name, content_type="application/zip")

    @extend_schema(
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY, 304: None, **REFUSALS},
        filters=False,
    )
    @action(detail=True, methods=["get"], url_path="weights")
    def weights(self, request: Request, **_: Any) -> Any:
        """Return its safetensors file as it is; it never changes."""
        checkpoint = self.get_object()
        etag = quote_etag(checkpoint.sha256)
        if (known := not_modified(request, etag)) is not None:
            return known
        path = require_intact(checkpoint, "checkpoint")
        response = FileResponse(
            path.open("rb"),
            as_attachment=True,
            filename=f"{checkpoint.experiment.slug}-{checkpoint.pk}.safetensors",
            content_type="application/octet-stream",
        )
        response["ETag"], response["Cache-Control"] = etag, "private, max-age=31536000, immutable"
        return response

    @extend_schema(
        request={"multipart/form-data": schema.IMPORT_FORM},
        responses={201: schema.ImportAnswer, **REFUSALS},
    )
    @action(detail=False, methods=["post"], url_path="import", parser_classes=[MultiPartParser])
    def take_in(self, request: Request) -> Response:
        """Import an exported file as an experiment of its own; no code in it is run by that."""
        upload = request.FILES.get("file")
        if upload is None:
            raise InvalidInput({"file": "a file is needed: one that ACC exported"})
        path = blobs.scratch_copy(upload.chunks(), str(upload.name))
        try:
            made = portable.import_checkpoint(
                actor=request.user,
                path=path,
                name=request.POST.get("name") or None,
                visibility=request.POST.get("visibility") or "site",
            )
        finally:
            shutil.rmtree(path.parent, ignore_errors=True)
        checkpoint = made.checkpoint
        return Response(
            {
                "experiment": checkpoint.experiment.slug,
                "branch": checkpoint.branch_id,
                "checkpoint": checkpoint.pk,
                "notes": list(made.notes),
            },
            status=status.HTTP_201_CREATED,
        )

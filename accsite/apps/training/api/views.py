"""The REST views of training. Each reads by a selector, changes by a service, and shows only what its user may see."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from acc import wire
from acc.errors import InvalidInput
from accsite.api.common import KEY, REFUSALS, narrowed, query
from accsite.api.lookup import body, named, nested, whole_number
from accsite.api.pages import Pages
from accsite.apps.jobs import kinds
from accsite.apps.jobs.api import schema as job_schema
from accsite.apps.jobs.api.answers import queued
from accsite.apps.jobs.api.schema import job_request
from accsite.apps.jobs.api.serializers import JobEventSerializer
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors import held_places, job_state, job_states, logs, waits_for
from accsite.apps.jobs.states import ACTIVE, JobState
from accsite.apps.training import selectors
from accsite.apps.training.api import schema
from accsite.apps.training.api.common import ReadViewSet
from accsite.apps.training.api.renderers import ColumnsRenderer, CsvRenderer, PlainRenderer, PointsRenderer
from accsite.apps.training.api.serializers import TaskSerializer
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.services import jobs, tasks

JOB_FILTERS = [
    query("experiment", "slug of an experiment"),
    query("branch", "id of a branch", OpenApiTypes.INT),
    query("kind", ", ".join(sorted(kinds.KINDS))),
    query("queue", "train, eval or default"),
    query("worker", "name of a worker"),
    query("created_by", "name of a user"),
]


class HistoryPages(Pages):
    """Pages of history; the losses of each job are read for it, so that a page has an end."""

    default_limit = 20
    max_limit = 100


@narrowed(
    query("branch", "id of a branch", OpenApiTypes.INT), query("removed", "1: also those that were removed")
)
class TaskViewSet(ReadViewSet):
    """Tasks of branches. Every change is applied to a running job between two of its steps."""

    serializer_class = TaskSerializer
    queryset = Task.objects.none()
    ordering_fields = ("position", "name", "weight", "created_at")

    def get_queryset(self) -> QuerySet[Task]:
        rows = selectors.with_source_removed(Task.objects.filter(branch__experiment__in=self.experiments()))
        rows = self.filtered(rows.select_related("dataset", "branch"), branch="branch_id")
        if self.action == "list" and self.request.query_params.get("removed") != "1":
            rows = rows.filter(removed_at=None)
        return rows

    @extend_schema(request=schema.TaskRequest, responses={201: TaskSerializer, **REFUSALS})
    def create(self, request: Request) -> Response:
        """Attach a task to a branch."""
        data = body(request, *schema.TaskRequest.model_fields)
        rows = Branch.objects.filter(experiment__in=self.experiments()).select_related("experiment")
        branch = named(rows, "branch", data.pop("branch", None))
        data = {"task_class": "", "dataset": "", **data}
        made = tasks.add_task(actor=request.user, branch=branch, **data)
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=schema.TaskChange, responses={200: TaskSerializer, **REFUSALS})
    def partial_update(self, request: Request, **_: Any) -> Response:
        """Change the weight, or switch on or off."""
        task = self.get_object()
        data = body(request, "weight", "enabled")
        if not data:
            raise InvalidInput({"__all__": "nothing to change; send weight, enabled or both"})
        tasks.change_task(actor=request.user, task=task, **data)
        return Response(self.get_serializer(task).data)

    @extend_schema(responses={204: None, **REFUSALS})
    def destroy(self, request: Request, **_: Any) -> Response:
        """Take the task off its branch; `restore` undoes it."""
        tasks.remove_task(actor=request.user, task=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses={200: TaskSerializer, **REFUSALS})
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, **_: Any) -> Response:
        """Undo the removal."""
        made = tasks.restore_task(actor=request.user, task=self.get_object())
        return Response(self.get_serializer(made).data)

    @extend_schema(request=schema.TaskMove, responses={200: TaskSerializer, **REFUSALS})
    @action(detail=True, methods=["post"])
    def move(self, request: Request, **_: Any) -> Response:
        """Put the task at another place in the order of its branch."""
        data = body(request, "position")
        moved = tasks.move_task(task=self.get_object(), position=data.get("position"))
        return Response(self.get_serializer(moved).data)


@extend_schema_view(
    list=extend_schema(
        parameters=[
            *JOB_FILTERS,
            query("state", "a state, or `active` for all that are still to end"),
        ],
        responses=job_schema.JobState,
    ),
    retrieve=extend_schema(responses=job_schema.JobDetail),
)
class JobViewSet(ReadViewSet):
    """Jobs: units of queued work."""

    queryset = Job.objects.none()
    ordering_fields = ("id", "kind", "state", "step", "created_at", "started_at", "finished_at")

    def get_queryset(self) -> QuerySet[Job]:
        seen = Job.objects.visible_to(self.request.user).select_related("branch__experiment", "worker")
        rows = self.filtered(
            seen,
            experiment="branch__experiment__slug",
            branch="branch_id",
            kind="kind",
            queue="queue",
            worker="worker__name",
            created_by="created_by__username",
        )
        state = self.request.query_params.get("state", "")
        if state == "active":
            return rows.filter(state__in=ACTIVE)
        if state and state.upper() not in JobState.values:
            right = ", ".join(["active", *JobState.values])
            raise InvalidInput({"state": f"{state!r} is not a state; choose one of: {right}"})
        return rows.filter(state=state.upper()) if state else rows

    def list(self, *_: Any, **__: Any) -> Response:
        """List jobs, newest first."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(job_states(page or []))

    def retrieve(self, *_: Any, **__: Any) -> Response:
        """Return a job as it is now, what it waits for, and where it is."""
        job = self.get_object()
        told = {"waits_for": waits_for(job), "places": held_places(job)}
        if job.state == JobState.FAILED:
            told["last_lines"] = logs.last_lines(job)
        return Response({**job_state(job), **told})

    @extend_schema(
        request=job_request(),
        responses={201: job_schema.JobState, **REFUSALS},
        parameters=[KEY],
    )
    def create(self, request: Request) -> Response:
        """Queue a job."""
        data = body(request)
        kind = kinds.named(data.pop("kind", None), kinds.submittable())
        key = request.headers.get("Idempotency-Key")
        job = kind.submit(actor=request.user, data=data, idempotency_key=key)
        return queued(request, job, status.HTTP_201_CREATED)

    @extend_schema(
        parameters=[
            *JOB_FILTERS,
            query("state", "a state, or `active` for all that are still to end"),
            query("limit", "jobs on a page", OpenApiTypes.INT),
            query("offset", "first job of the page, from 0", OpenApiTypes.INT),
            query("ordering", "as of the list of jobs"),
        ],
        responses=schema.JobHistory,
    )
    @action(detail=False, methods=["get"], pagination_class=HistoryPages)
    def history(self, *_: Any, **__: Any) -> Response:
        """List what jobs came to, newest first: steps, duration and the final loss of each task."""
        kind = self.request.query_params.get("kind", "")
        if kind:
            kinds.named(kind)
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(selectors.job_summaries(page or []))

    @extend_schema(request=schema.ControlRequest, responses={202: JobEventSerializer, **REFUSALS})
    @action(detail=True, methods=["post"])
    def control(self, request: Request, **_: Any) -> Response:
        """Ask a job to pause, resume, stop or change; its event tells what became of it."""
        data = body(request, "kind", "payload")
        event = jobs.request_control(
            actor=request.user,
            job=self.get_object(),
            kind=data.get("kind", ""),
            payload=nested(data, "payload"),
        )
        return Response(JobEventSerializer(event).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        responses=JobEventSerializer(many=True),
        parameters=[query("after", "only events with a greater id", OpenApiTypes.INT)],
        filters=False,
    )
    @action(detail=True, methods=["get"], pagination_class=None)
    def events(self, request: Request, **_: Any) -> Response:
        """List what was asked of the job and what happened to it, oldest first."""
        rows = self.get_object().events.select_related("actor").order_by("id")
        after = whole_number(request, "after")
        return Response(JobEventSerializer(rows.filter(pk__gt=after or 0), many=True).data)

    @extend_schema(
        parameters=[
            query("attempt", "an attempt at the job; default: the newest that printed", OpenApiTypes.INT),
            query("rank", "a rank; default: the first that printed", OpenApiTypes.INT),
            query("offset", "bytes to pass over; below 0: from the end", OpenApiTypes.INT),
            query("limit", f"at most so many bytes, up to {logs.MOST_BYTES}", OpenApiTypes.INT),
            query("search", "only the lines that hold this, in upper or lower case"),
        ],
        responses={
            (200, "application/json"): job_schema.JobLogPart,
            (200, "text/plain"): OpenApiTypes.STR,
            422: REFUSALS[422],
        },
        filters=False,
    )
    @action(
        detail=True, methods=["get"], renderer_classes=[JSONRenderer, PlainRenderer], pagination_class=None
    )
    def log(self, request: Request, **_: Any) -> HttpResponse:
        """Return what the job printed, stdout and stderr together: a part as JSON, or all that is kept as text."""
        job = self.get_object()
        attempt, rank = whole_number(request, "attempt", least=1), whole_number(request, "rank")
        streams, stream = logs.choose(job, attempt, rank)
        if request.accepted_renderer.format == PlainRenderer.format:
            text = b"".join(logs.raw(job, stream)) if stream else b""
            # REST framework's answer takes the type away from an empty one.
            return HttpResponse(
                text, content_type="text/plain", headers={"Vary": "Accept", "Cache-Control": "no-store"}
            )
        part = logs.asked_part(
            job,
            stream,
            offset=whole_number(request, "offset", least=-logs.MOST_BYTES) or 0,
            limit=whole_number(request, "limit", least=1),
            word=request.query_params.get("search", ""),
        )
        told = logs.whole_answer(job, streams, part)
        return Response(told, headers={"Vary": "Accept", "Cache-Control": "no-store"})

    @extend_schema(
        parameters=[
            query("after", "only steps behind this one", OpenApiTypes.INT),
            query("from", "first step", OpenApiTypes.INT),
            query("to", "step before which to end", OpenApiTypes.INT),
            query("points", "the most columns wanted; more steps come as an envelope", OpenApiTypes.INT),
            query(
                "series", "names of the series wanted, with commas between them, as raw/digit,total; else all"
            ),
            query("clock", "1: also tell when the steps were made"),
        ],
        responses={
            (200, "application/json"): schema.LossHistory,
            (200, wire.CONTENT_TYPE): OpenApiTypes.BINARY,
            (200, "text/csv"): OpenApiTypes.STR,
            422: REFUSALS[422],
        },
    )
    @action(
        detail=True,
        methods=["get"],
        renderer_classes=[ColumnsRenderer, PointsRenderer, CsvRenderer],
        pagination_class=None,
    )
    def loss_history(self, request: Request, **_: Any) -> Response:
        """Return loss points as JSON columns, binary or CSV, as the Accept header asks."""
        wanted = request.query_params.get("series", "")
        points = selectors.loss_history(
            self.get_object(),
            after=whole_number(request, "after"),
            start=whole_number(request, "from"),
            stop=whole_number(request, "to"),
            points=whole_number(request, "points", least=1),
            series=frozenset(wanted.split(",")) if wanted else None,
            clock=request.query_params.get("clock") == "1",
        )
        return Response(points, headers={"Vary": "Accept", "Cache-Control": "no-store"})

"""The API of workers and of the order in which jobs wait for them."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from acc.errors import InvalidInput
from accsite.api.common import REFUSALS, narrowed, query
from accsite.api.lookup import body
from accsite.apps.access.selectors import may_operate
from accsite.apps.jobs.access import ONLY_OPERATORS
from accsite.apps.jobs.api import schema
from accsite.apps.jobs.api.serializers import WorkerSerializer
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.selectors import job_state, job_states
from accsite.apps.jobs.selectors.queue import waiting
from accsite.apps.jobs.services import queue
from accsite.ids import row_id


class IsOperator(BasePermission):
    """Allow staff and the group ``operator``."""

    message = ONLY_OPERATORS

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ARG002
        return may_operate(request.user)


@narrowed(query("state", ", ".join(Worker.State.values)), query("device", "such as cpu or cuda:0"))
class WorkerViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[Worker]):
    """Workers: processes that do jobs, each on one device."""

    serializer_class = WorkerSerializer
    queryset = Worker.objects.all()
    ordering_fields = ("name", "device", "state", "heartbeat_at")

    def get_queryset(self) -> QuerySet[Worker]:
        """Return the workers, filtered when they are listed."""
        rows = Worker.objects.all()
        given = self.request.query_params if self.action == "list" else {}
        if state := given.get("state", ""):
            if state not in Worker.State.values:
                right = ", ".join(Worker.State.values)
                raise InvalidInput({"state": f"{state!r} is not a state; choose one of: {right}"})
            rows = rows.filter(state=state)
        return rows.filter(device=given["device"]) if given.get("device") else rows


class QueueViewSet(GenericViewSet[Job]):
    """The queues: the jobs that wait, the next one first."""

    queryset = Job.objects.none()

    @extend_schema(responses=schema.JobState)
    def list(self, request: Request) -> Response:
        """List the waiting jobs that the user may see, in the order of their queues."""
        seen = Job.objects.visible_to(request.user)
        jobs = waiting().filter(pk__in=seen).select_related("branch__experiment", "worker")
        page = self.paginate_queryset(jobs)
        return self.get_paginated_response(job_states(page or []))

    @extend_schema(
        request=inline_serializer(
            "QueueChange",
            {
                "direction": serializers.ChoiceField(choices=queue.DIRECTIONS, required=False),
                "priority": serializers.IntegerField(
                    required=False, min_value=queue.PRIORITIES[0], max_value=queue.PRIORITIES[1]
                ),
            },
        ),
        responses={200: schema.JobState, **REFUSALS},
    )
    @action(detail=True, methods=["post"], permission_classes=[IsOperator])
    def move(self, request: Request, pk: str) -> Response:
        """Move a waiting job (``direction``), or give it a ``priority`` (operators)."""
        data = body(request, "direction", "priority")
        job = Job.objects.visible_to(request.user).filter(pk=row_id(pk)).first()
        if job is None:
            raise Http404(f"there is no job {pk[:40]} that you may see")
        if len(data) != 1:
            raise InvalidInput({"direction": "give either a direction or a priority"})
        if "priority" in data:
            queue.set_priority(job=job, priority=data["priority"])
        else:
            queue.move(job=job, direction=str(data["direction"]))
        job = Job.objects.select_related("branch__experiment", "worker").get(pk=job.pk)
        return Response(job_state(job))

"""``POST /api/v1/eval/…/``: answers from what is kept (200), or queues a job and says which (202)."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, Field
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from acc.specs import EvalSpec
from accsite.actions import perform
from accsite.api.common import KEY, REFUSALS
from accsite.api.lookup import body, named
from accsite.apps.evaluation import services
from accsite.apps.evaluation.actions.ask_checkpoint import AskCheckpoint
from accsite.apps.evaluation.api.serializers import EvaluationSerializer
from accsite.apps.evaluation.models import HELD_OUT
from accsite.apps.evaluation.selectors import comparing
from accsite.apps.jobs.api.answers import queued
from accsite.apps.jobs.api.schema import JobState
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors import job_states
from accsite.apps.training.models import Checkpoint, Experiment

SUITE_FIELDS = tuple(EvalSpec.model_fields)
PART_FIELDS = tuple(name for name in SUITE_FIELDS if name != "suite")


class RunRequest(EvalSpec):
    """What to measure of a checkpoint; the options of ``EvalSpec`` beside it."""

    checkpoint: int = Field(description="id of a checkpoint")


class CompareRequest(EvalSpec):
    """Which checkpoints to compare; the options of ``EvalSpec`` beside them."""

    checkpoints: list[int] = Field(min_length=2, max_length=comparing.MOST)


class WaitingFor(BaseModel):
    """The jobs whose results are waited for."""

    jobs: list[JobState]


class _Asking(APIView):
    def checkpoint(self, request: Request, field: str, value: Any) -> Checkpoint:
        """Return a checkpoint of an experiment that the user may change: measuring makes jobs in it."""
        rows = Checkpoint.objects.filter(experiment__in=Experiment.objects.changeable_by(request.user))
        return named(rows.select_related("branch__experiment"), field, value)

    def ask(self, request: Request, data: dict[str, Any]) -> Response:
        """Return 200 with the evaluation that is kept, or 202 with the job that measures it."""
        checkpoint = self.checkpoint(request, "checkpoint", data.pop("checkpoint", None))
        key = request.headers.get("Idempotency-Key")
        found = perform(AskCheckpoint, actor=request.user, thing=checkpoint, data=data, key=key)
        if isinstance(found, Job):
            return queued(request, found, status.HTTP_202_ACCEPTED)
        return Response(EvaluationSerializer(found, context={"request": request}).data)


class RunView(_Asking):
    """Measure any parts of a checkpoint."""

    @extend_schema(
        operation_id="eval_run",
        request=RunRequest,
        parameters=[KEY],
        responses={200: EvaluationSerializer, 202: JobState, **REFUSALS},
    )
    def post(self, request: Request) -> Response:
        """Answer with what is kept of the checkpoint, plugin versions and options; else queue a job."""
        return self.ask(request, body(request, "checkpoint", *SUITE_FIELDS))


class PartView(_Asking):
    """Measure one part of a checkpoint."""

    part = ""


def part_view(name: str, sentence: str) -> type[PartView]:
    """Return the view that measures the part called ``name``."""

    @extend_schema(
        operation_id=f"eval_{name}",
        request=RunRequest,
        parameters=[KEY],
        responses={200: EvaluationSerializer, 202: JobState, **REFUSALS},
    )
    def post(self: PartView, request: Request) -> Response:
        return self.ask(request, {**body(request, "checkpoint", *PART_FIELDS), "suite": [self.part]})

    return type(f"{name.title()}View", (PartView,), {"part": name, "post": post, "__doc__": sentence})


PARTS = {
    "reconstructions": "Images, what the model makes of them, and the difference.",
    "traversals": "What the decoder draws while one group or dimension moves.",
    "sort": "The images with the lowest and highest activation of each group or dimension.",
    "attention": "From which factor each place of a picture was drawn.",
    "ufr": "The UFR matrix and the metrics beside it.",
}


class CompareView(_Asking):
    """Compare checkpoints."""

    @extend_schema(
        operation_id="eval_compare",
        request=CompareRequest,
        responses={200: comparing.Comparison, 202: WaitingFor, **REFUSALS},
    )
    def post(self, request: Request) -> Response:
        """Answer with the comparison if all is kept; else queue what is missing, and say which jobs."""
        data = body(request, "checkpoints", *SUITE_FIELDS)
        ids = comparing.check_ids(data.pop("checkpoints", None))
        chosen = [self.checkpoint(request, "checkpoints", pk) for pk in ids]
        asked = {"suite": ["metrics"], **data}
        found = services.ask_all(actor=request.user, checkpoints=chosen, eval=asked)
        waiting = [each.pk for each in found if isinstance(each, Job)]
        if waiting:
            jobs = Job.objects.select_related("branch__experiment", "worker").filter(pk__in=waiting)
            states = job_states(list(jobs.order_by("pk")))
            return Response({"jobs": states}, status=status.HTTP_202_ACCEPTED)
        dataset = str(data.get("dataset") or "")
        rows = str(data.get("rows") or HELD_OUT)
        return Response(comparing.compare(chosen, dataset, rows).model_dump(mode="json"))

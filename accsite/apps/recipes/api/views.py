"""Runs of recipes in the REST API. Each is read by a selector and changed by a service."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from pydantic import BaseModel, Field
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.viewsets import GenericViewSet

from acc.errors import InvalidInput
from accsite.api.common import KEY, REFUSALS, narrowed, query
from accsite.api.lookup import body, nested
from accsite.apps.jobs import states
from accsite.apps.jobs.api.schema import JobState
from accsite.apps.recipes import selectors
from accsite.apps.recipes.models import RecipeRun
from accsite.apps.recipes.services import recipes


class RecipeRequest(BaseModel):
    """A recipe to run."""

    recipe: str = Field(description="class name; /plugins/?kind=recipe lists them")
    params: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0


class RunSummary(BaseModel):
    """A run as lists show it."""

    id: int
    recipe: str
    label: str
    params: dict[str, Any]
    seed: int
    source_sha256: str
    state: str | None
    job: JobState | None = Field(description="progress counts the train steps of all its jobs")
    result: Any = Field(description="what the recipe returned; null before its end")
    can_resume: bool
    created_at: datetime


class RunDetail(RunSummary):
    """A run with its phases, steps and log."""

    plan: dict[str, Any]
    phases: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    log: list[str]
    branches: list[str]


@narrowed(
    query("recipe", "class name"),
    query("state", "of its newest job", enum=states.JobState.values),
    responses=RunSummary,
)
@extend_schema_view(retrieve=extend_schema(responses=RunDetail))
class RecipeRunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[RecipeRun]):
    """Runs of recipes: programs that build trees of checkpoints."""

    ordering_fields = ("id", "recipe", "created_at")
    queryset = RecipeRun.objects.none()

    def get_queryset(self) -> QuerySet[RecipeRun]:
        rows = RecipeRun.objects.visible_to(self.request.user)
        if name := self.request.query_params.get("recipe"):
            rows = rows.filter(recipe=name)
        if state := self.request.query_params.get("state"):
            if state not in states.JobState.values:
                right = ", ".join(states.JobState.values)
                raise InvalidInput({"state": f"{state!r} is not a state; choose one of: {right}"})
            rows = rows.filter(job__state=state)
        return rows.select_related("job__branch", "job__worker")

    def list(self, *_: Any, **__: Any) -> Response:
        """List runs, newest first."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([selectors.run_summary(run) for run in page or []])

    def retrieve(self, *_: Any, **__: Any) -> Response:
        """Return a run as it is now."""
        return Response(selectors.run_state(self.get_object()))

    @extend_schema(request=None, responses={202: RunSummary, **REFUSALS})
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, **_: Any) -> Response:
        """Stop a run and the jobs that it has under way; each keeps the step it reached."""
        run = self.get_object()
        recipes.stop_recipe(actor=request.user, run=run)
        return _answer(request, run, status.HTTP_202_ACCEPTED)

    @extend_schema(request=None, responses={202: RunSummary, **REFUSALS})
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, **_: Any) -> Response:
        """Go on with a run that was stopped or failed; what was done is not done again."""
        run = recipes.resume_recipe(actor=request.user, run=self.get_object())
        return _answer(request, run, status.HTTP_202_ACCEPTED)


class RecipeStartViewSet(GenericViewSet[RecipeRun]):
    """The starting of recipes."""

    queryset = RecipeRun.objects.none()

    @extend_schema(
        request=RecipeRequest,
        responses={201: RunSummary, **REFUSALS},
        parameters=[KEY],
    )
    def create(self, request: Request) -> Response:
        """Run a recipe."""
        data = body(request, *RecipeRequest.model_fields)
        run = recipes.submit_recipe(
            actor=request.user,
            recipe=data.get("recipe", ""),
            params=nested(data, "params"),
            seed=data.get("seed", 0),
            idempotency_key=request.headers.get("Idempotency-Key"),
        )
        return _answer(request, run, status.HTTP_201_CREATED)


def _answer(request: Request, run: RecipeRun, code: int) -> Response:
    found = RecipeRun.objects.select_related("job__branch", "job__worker").get(pk=run.pk)
    place = reverse("api:recipe-run-detail", args=[run.pk], request=request)
    return Response(selectors.run_summary(found), status=code, headers={"Location": place})

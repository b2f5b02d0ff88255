"""Runs of recipes and their steps."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from typing_extensions import override

from accsite.actions.admin import ActionsAdmin
from accsite.apps.access.admin_parts import (
    NOTHING,
    KeptAdmin,
    RowsInline,
    add_panel,
    as_json,
    badge,
    each_row,
    lines,
    link,
    link_to_list,
    linked,
    pretty,
)
from accsite.apps.jobs.admin.badges import JOB_STATES
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.states import JobState
from accsite.apps.recipes.models import RecipeRun, RecipeStep
from accsite.apps.recipes.services import recipes
from accsite.apps.registry.models import Plugin

STEP_STATES = {
    RecipeStep.State.RUNNING.value: "primary",
    RecipeStep.State.SUCCEEDED.value: "success",
    RecipeStep.State.FAILED.value: "danger",
    RecipeStep.State.CANCELLED.value: "warning",
}
TOUCHED = ("job", "experiment", "branch__experiment", "checkpoint__branch__experiment")


class StepRows:
    """What lists of steps show of each."""

    @badge(STEP_STATES)
    @admin.display(description="state", ordering="state")
    def now(self, step: RecipeStep) -> tuple[str, str]:
        return step.state, step.get_state_display()

    @admin.display(description="made or used")
    def touched(self, step: RecipeStep) -> SafeString:
        found = (step.job, step.experiment, step.branch, step.checkpoint)
        return lines(link(row) for row in found if row is not None)


class StepInline(StepRows, RowsInline):
    """The steps of a run."""

    model = RecipeStep
    fields = ["path", "verb", "phase", "now", "touched", "tries", "message", "started_at", "finished_at"]

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[RecipeStep]:
        rows: QuerySet[RecipeStep] = super().get_queryset(request)
        return rows.select_related(*TOUCHED).defer("job__spec", "checkpoint__spec")


@admin.register(RecipeRun)
class RecipeRunAdmin(ActionsAdmin):
    """Runs of recipes; one that was stopped or failed is resumed, and does nothing twice."""

    list_display = ["id", "label", "plugin", "now", "at_work", "source_link", "created_by", "created_at"]
    list_display_links = ["id", "label"]
    list_filter = ["recipe", "job__state"]
    list_select_related = ["job", "source", "created_by"]
    search_fields = ["label", "recipe", "created_by__username"]
    actions = ["stop", "resume"]
    fields = [
        "label",
        "plugin",
        "now",
        "at_work",
        "source_link",
        "seed",
        "created_by",
        "created_at",
        "params_text",
        "result_text",
    ]
    inlines = [StepInline]
    large = ("job__spec", "source__text")
    at_work = linked("job", ordering="job")
    source_link = linked("source")
    params_text = as_json("params", "parameters")
    stop = each_row(
        "Stop, with all it has under way",
        "asked to stop",
        lambda user, run: recipes.stop_recipe(actor=user, run=run),
    )
    resume = each_row("Resume", "going on", lambda user, run: recipes.resume_recipe(actor=user, run=run))

    @override
    def seen(self, user: Any) -> QuerySet[RecipeRun]:
        return RecipeRun.objects.visible_to(user)

    @override
    def view_on_site(self, obj: RecipeRun) -> str:
        return reverse("recipes:recipe-run", args=[obj.pk])

    @badge(JOB_STATES)
    @admin.display(description="state", ordering="job__state")
    def now(self, run: RecipeRun) -> tuple[str, str] | str:
        return (run.job.state, JobState(run.job.state).label) if run.job else "no job"

    @admin.display(description="recipe", ordering="recipe")
    def plugin(self, run: RecipeRun) -> SafeString:
        return link_to_list(Plugin, run.recipe, kind__exact="recipe", q=run.recipe)

    @admin.display(description="result")
    def result_text(self, run: RecipeRun) -> SafeString:
        return pretty(run.result) if run.result is not None else NOTHING


@admin.register(RecipeStep)
class RecipeStepAdmin(StepRows, KeptAdmin):
    """Steps of all runs, to find those that failed."""

    list_display = ["id", "of", "path", "verb", "phase", "now", "touched", "tries", "message"]
    list_filter = ["state", "verb"]
    list_select_related = ["run", *TOUCHED]
    search_fields = ["=run__id", "verb", "phase", "message"]
    fields = ["of", "path", "verb", "phase", "line", "now", "touched", "tries", "message", "asked", "came_to"]
    large = ("result", "job__spec", "checkpoint__spec", "run__plan", "run__result")
    of = linked("run", ordering="run")
    asked = as_json("args", "asked")
    came_to = as_json("result")

    @override
    def seen(self, user: Any) -> QuerySet[RecipeStep]:
        return RecipeStep.objects.filter(run__in=RecipeRun.objects.visible_to(user))


def runs_of(job: Job) -> SafeString:
    """Return the run of a recipe that a job is, or that it was made for."""
    mine = RecipeRun.objects.filter(job=job) | RecipeRun.objects.filter(steps__job=job)
    return lines(format_html("recipe {}", link(row)) for row in mine.distinct()[:5])


add_panel(Job, runs_of)

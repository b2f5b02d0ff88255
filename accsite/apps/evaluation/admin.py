"""Evaluations, to look at, with their pictures; the same pictures on the pages of their jobs and checkpoints."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from typing_extensions import override

from accsite.apps.access.admin_parts import (
    LINK,
    NOTHING,
    KeptAdmin,
    RowsInline,
    add_panel,
    as_json,
    badge,
    lines,
    link,
    linked,
    rounded,
)
from accsite.apps.evaluation.models import Artifact, Evaluation, Metric, Part
from accsite.apps.evaluation.selectors import visible_evaluations
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Checkpoint

MOST_PICTURES = 4


class MetricInline(RowsInline):
    """The numbers of an evaluation."""

    model = Metric
    fields = [
        "task_key",
        "name",
        "concept",
        "group",
        "found",
        "from_",
        "to",
        "by_chance",
        "trivial",
        "reason",
    ]
    found, from_, to = rounded("value"), rounded("low"), rounded("high")
    by_chance, trivial = rounded("chance"), rounded("baseline")


class PartInline(RowsInline):
    """The parts of an evaluation."""

    model = Part
    fields = ["name", "state", "reason"]

    @badge({"measured": "success", "nothing": "warning"})
    @admin.display(description="state")
    def state(self, part: Part) -> str:
        return "nothing" if part.reason else "measured"


class ArtifactInline(RowsInline):
    """The pictures of an evaluation."""

    model = Artifact
    fields = ["kind", "name", "picture", "sha256"]

    @admin.display(description="picture")
    def picture(self, artifact: Artifact) -> SafeString:
        return picture(artifact)


@admin.register(Evaluation)
class EvaluationAdmin(KeptAdmin):
    """What was measured of checkpoints."""

    list_display = [
        "id",
        "on_branch",
        "of",
        "by",
        "step",
        "parts_measured",
        "dataset",
        "took",
        "created_at",
    ]
    list_filter = ["dataset", "branch__experiment"]
    list_select_related = ["branch__experiment", "checkpoint__branch__experiment", "job"]
    search_fields = ["=id", "branch__experiment__name", "checkpoint__tag", "dataset"]
    date_hierarchy = "created_at"
    fields = [
        "on_branch",
        "of",
        "by",
        "step",
        "parts_measured",
        "dataset",
        "took",
        "created_at",
        "options_text",
    ]
    large = ("options", "checkpoint__spec", "checkpoint__losses", "job__spec", "job__traceback")
    took = rounded("seconds")
    inlines = [PartInline, MetricInline, ArtifactInline]
    on_branch = linked("branch")
    of = linked("checkpoint")
    options_text = as_json("options")

    @override
    def seen(self, user: Any) -> QuerySet[Evaluation]:
        return Evaluation.objects.filter(pk__in=visible_evaluations(user).values("pk"))

    @admin.display(description="job")
    def by(self, evaluation: Evaluation) -> SafeString:
        return link(evaluation.job, f"job {evaluation.job_id}")

    @admin.display(description="suite")
    def parts_measured(self, evaluation: Evaluation) -> str:
        return ", ".join(evaluation.suite)


def picture(artifact: Artifact) -> SafeString:
    """Return a picture as an image, and anything else as a link to it."""
    where = reverse("api:evaluation-artifact", args=[artifact.evaluation_id, artifact.pk])
    if not artifact.media_type.startswith("image/"):
        return format_html('<a href="{}" class="{}">{}</a>', where, LINK, artifact.name)
    words = f"{artifact.kind} {artifact.name}"
    return format_html('<img src="{}" alt="{}" loading="lazy" width="512">', where, words)


def pictures_of_job(job: Job) -> SafeString:
    rows = Evaluation.objects.filter(job=job) | Evaluation.objects.filter(checkpoint__job=job)
    return _newest(rows)


def pictures_of_checkpoint(checkpoint: Checkpoint) -> SafeString:
    return _newest(Evaluation.objects.filter(checkpoint=checkpoint))


def _newest(rows: QuerySet[Evaluation]) -> SafeString:
    newest = rows.select_related("branch__experiment").order_by("-id").first()
    if newest is None:
        return NOTHING
    shown = newest.artifacts.filter(media_type__startswith="image/")[:MOST_PICTURES]
    return lines([link(newest), *(picture(artifact) for artifact in shown)])


add_panel(Job, pictures_of_job)
add_panel(Checkpoint, pictures_of_checkpoint)

"""Jobs with their events, and with what other apps show of them, and what operators ask of them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from typing_extensions import override

from accsite.actions.admin import ActionsAdmin
from accsite.apps.access.admin_parts import (
    NOTHING,
    RowsInline,
    as_json,
    as_text,
    badge,
    each_row,
    lines,
    link,
    linked,
    panels,
    pretty,
)
from accsite.apps.jobs.admin import badges
from accsite.apps.jobs.models import Job, JobEvent, JobPart
from accsite.apps.jobs.services import queue
from accsite.apps.jobs.states import JobState


class EventInline(RowsInline):
    """What was asked of a job and what happened to it."""

    model = JobEvent
    fields = ["created_at", "kind", "payload", "answer", "step", "message", "actor"]

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[JobEvent]:
        rows: QuerySet[JobEvent] = super().get_queryset(request)
        return rows.select_related("actor")

    @badge(badges.EVENT_STATES)
    @admin.display(description="status")
    def answer(self, event: JobEvent) -> tuple[str, str]:
        return event.status, event.get_status_display()


class PartInline(RowsInline):
    """The ranks of a job that workers of other machines ran, attempt by attempt."""

    model = JobPart
    fields = ["attempt", "worker", "first_rank", "devices", "state", "address", "lost", "error"]


@admin.register(Job)
class JobAdmin(ActionsAdmin):
    """Jobs with their events."""

    list_display = [
        "id",
        "title",
        "kind",
        "now",
        "progress",
        "on_branch",
        "measures",
        "held_by",
        "attempt",
        "created_by",
        "created_at",
    ]
    list_display_links = ["id", "title"]
    list_filter = ["state", "kind", "queue", "preview", "worker", "branch__experiment"]
    list_select_related = ["worker", "created_by", "branch__experiment", "checkpoint__branch__experiment"]
    search_fields = ["=id", "title", "message", "branch__experiment__name", "created_by__username"]
    date_hierarchy = "created_at"
    inlines = [EventInline, PartInline]
    large = ("spec", "traceback", "result", "checkpoint__spec", "checkpoint__losses")
    actions = ["first"]
    fields = [
        "title",
        "kind",
        "now",
        "message",
        "progress",
        "shown",
        "on_branch",
        "measures",
        "began_at",
        "made",
        "held_by",
        "device",
        "queue",
        "priority",
        "attempt",
        "workers_lost",
        "created_by",
        "created_at",
        "started_at",
        "finished_at",
        "result_text",
        "trace",
        "spec_text",
    ]
    on_branch = linked("branch")
    measures = linked("checkpoint", "measures")
    held_by = linked("worker", ordering="worker__name")
    spec_text = as_json("spec", "specification")
    trace = as_text("traceback")
    first = each_row(
        "Move to the front of the queue",
        "moved to the front",
        lambda _, row: queue.move(job=row, direction="first"),
    )

    @override
    def seen(self, user: Any) -> QuerySet[Job]:
        return Job.objects.visible_to(user)

    @override
    def view_on_site(self, obj: Job) -> str:
        return reverse("training:job", args=[obj.pk])

    @badge(badges.JOB_STATES)
    @admin.display(description="state", ordering="state")
    def now(self, job: Job) -> tuple[str, str]:
        return job.state, JobState(job.state).label

    @admin.display(description="progress", ordering="step")
    def progress(self, job: Job) -> str:
        return f"{job.step}/{job.total_steps}" if job.total_steps else ""

    @admin.display(description="began at")
    def began_at(self, job: Job) -> SafeString:
        return lines(link(row) for row in (job.start_checkpoint, job.resume_checkpoint) if row is not None)

    @admin.display(description="checkpoints")
    def made(self, job: Job) -> SafeString:
        rows = job.checkpoints.select_related("branch__experiment").order_by("-job_step", "-id")
        return lines(link(row) for row in rows[:10])

    @admin.display(description="more")
    def shown(self, job: Job) -> SafeString:
        return panels(job)

    @admin.display(description="result")
    def result_text(self, job: Job) -> SafeString:
        return pretty(job.result) if job.result else NOTHING

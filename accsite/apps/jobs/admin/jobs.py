"""Jobs with their events, and with what other apps show of them, and what operators ask of them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from typing_extensions import override

from accsite.apps.access.admin_parts import NOTHING, KeptAdmin, RowsInline, badge, lines, link, panels, pretty
from accsite.apps.jobs.admin import badges
from accsite.apps.jobs.models import Job, JobEvent, JobPart
from accsite.apps.jobs.services import control, queue
from accsite.apps.jobs.services.retry import requeue, retry
from accsite.apps.jobs.states import JobState


class EventInline(RowsInline):
    """What was asked of a job and what happened to it."""

    model = JobEvent
    fields = ["created_at", "kind", "payload", "answer", "step", "message", "actor"]
    readonly_fields = fields

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
    readonly_fields = fields


@admin.register(Job)
class JobAdmin(KeptAdmin):
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
    actions = ["stop", "pause", "resume", "first", "retry", "requeue"]
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
    readonly_fields = [
        "kind",
        "now",
        "progress",
        "shown",
        "on_branch",
        "measures",
        "began_at",
        "made",
        "held_by",
        "result_text",
        "trace",
        "spec_text",
    ]

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """Return what the user may see; a list needs no specifications."""
        rows = Job.objects.visible_to(request.user)
        large = ("spec", "traceback", "result", "checkpoint__spec", "checkpoint__losses")
        return rows.defer(*large) if self.is_list(request) and request.method == "GET" else rows

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

    @admin.display(description="branch")
    def on_branch(self, job: Job) -> SafeString:
        return link(job.branch)

    @admin.display(description="measures")
    def measures(self, job: Job) -> SafeString:
        return link(job.checkpoint)

    @admin.display(description="began at")
    def began_at(self, job: Job) -> SafeString:
        return lines(link(row) for row in (job.start_checkpoint, job.resume_checkpoint) if row is not None)

    @admin.display(description="checkpoints")
    def made(self, job: Job) -> SafeString:
        rows = job.checkpoints.select_related("branch__experiment").order_by("-job_step", "-id")
        return lines(link(row) for row in rows[:10])

    @admin.display(description="worker", ordering="worker__name")
    def held_by(self, job: Job) -> SafeString:
        """Return the worker that holds it, or held it last."""
        return link(job.worker)

    @admin.display(description="more")
    def shown(self, job: Job) -> SafeString:
        """Return what other apps show of it."""
        return panels(job)

    @admin.display(description="result")
    def result_text(self, job: Job) -> SafeString:
        return pretty(job.result) if job.result else NOTHING

    @admin.display(description="traceback")
    def trace(self, job: Job) -> SafeString:
        return format_html("<pre>{}</pre>", job.traceback) if job.traceback else NOTHING

    @admin.display(description="specification")
    def spec_text(self, job: Job) -> SafeString:
        return pretty(job.spec)

    @admin.action(description="Stop; cancel those that wait")
    def stop(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        """Ask jobs to stop; those that wait are cancelled."""
        self.each(request, rows, "asked to stop", lambda row: control.stop(actor=request.user, job=row))

    @admin.action(description="Pause")
    def pause(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        self._control(request, rows, "pause", "asked to pause")

    @admin.action(description="Resume")
    def resume(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        self._control(request, rows, "resume", "asked to go on")

    @admin.action(description="Move to the front of the queue")
    def first(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        self.each(request, rows, "moved to the front", lambda row: queue.move(job=row, direction="first"))

    @admin.action(description="Retry: ask again what failed or was stopped")
    def retry(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        self.each(request, rows, "queued again", lambda row: retry(actor=request.user, job=row))

    @admin.action(description="Requeue: take from the worker, go on at the newest checkpoint")
    def requeue(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        self.each(request, rows, "put back", lambda row: requeue(actor=request.user, job=row))

    def _control(self, request: HttpRequest, rows: QuerySet[Job], kind: str, done: str) -> None:
        def change(row: Any) -> None:
            control.pause_or_resume(actor=request.user, job=row, kind=kind)

        self.each(request, rows, done, change)

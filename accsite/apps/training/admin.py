"""Experiments, jobs and workers, to look at; what changes them are the services, here as actions."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from typing_extensions import override
from unfold.admin import TabularInline

from acc.errors import InvalidInput
from accsite.apps.access.admin import ReadOnlyAdmin
from accsite.apps.training import blocks
from accsite.apps.training.models import (
    Branch,
    Checkpoint,
    Experiment,
    Job,
    JobEvent,
    LossBlock,
    OutboxMessage,
    Task,
    Worker,
)
from accsite.apps.training.services import jobs, tasks, workers

STEPS_SHOWN = 200


class KeptAdmin(ReadOnlyAdmin):
    """Rows that others depend on, and that nobody deletes by hand."""

    @override
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return no."""
        return False

    def each(self, request: HttpRequest, rows: QuerySet[Any], done: str, change: Any) -> None:
        """Call ``change`` with each row, and tell what was done and what was refused and why."""
        count = 0
        for row in rows:
            try:
                change(row)
                count += 1
            except InvalidInput as error:
                self.message_user(request, f"{row}: {error}", messages.ERROR)
        if count:
            self.message_user(request, f"{count} {done}", messages.SUCCESS)


class BranchInline(TabularInline):  # type: ignore[misc]
    """The branches of an experiment."""

    model = Branch
    fields = ["name", "slug", "head", "forked_from", "created_at"]
    readonly_fields = fields
    extra = 0
    can_delete = False
    show_change_link = True

    @override
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return no."""
        return False


@admin.register(Experiment)
class ExperimentAdmin(KeptAdmin):
    """Experiments with their branches."""

    list_display = ["name", "architecture", "owner", "visibility", "created_at"]
    list_filter = ["visibility"]
    list_select_related = ["owner"]
    search_fields = ["name", "slug"]
    inlines = [BranchInline]

    @admin.display(description="architecture")
    def architecture(self, experiment: Experiment) -> str:
        """Return the class of its model."""
        return str(experiment.model_spec.get("architecture", ""))


@admin.register(Branch)
class BranchAdmin(KeptAdmin):
    """Branches and where they stand."""

    list_display = ["name", "experiment", "head", "forked_from", "created_at"]
    list_filter = ["experiment"]
    list_select_related = ["experiment", "head__branch__experiment", "forked_from__branch__experiment"]
    search_fields = ["name", "experiment__name"]


@admin.register(Task)
class TaskAdmin(KeptAdmin):
    """Tasks; switching one is applied to a running job between two of its steps."""

    list_display = ["name", "branch", "task_class", "dataset", "weight", "enabled", "reads", "removed_at"]
    list_filter = ["task_class", "enabled", "branch__experiment"]
    list_select_related = ["branch__experiment", "dataset"]
    search_fields = ["name", "key"]
    actions = ["switch_on", "switch_off"]

    @admin.display(description="reads")
    def reads(self, task: Task) -> str:
        """Return the part of the latent that it reads."""
        if task.factor:
            return task.factor
        return f"{task.latent_start}:{task.latent_end}" if task.latent_start is not None else "all"

    @admin.action(description="Switch on")
    def switch_on(self, request: HttpRequest, rows: QuerySet[Task]) -> None:
        """Switch tasks on."""
        self._switch(request, rows, True)

    @admin.action(description="Switch off")
    def switch_off(self, request: HttpRequest, rows: QuerySet[Task]) -> None:
        """Switch tasks off."""
        self._switch(request, rows, False)

    def _switch(self, request: HttpRequest, rows: QuerySet[Task], enabled: bool) -> None:
        def change(task: Task) -> None:
            tasks.set_enabled(actor=request.user, task=task, enabled=enabled)

        self.each(request, rows, "switched on" if enabled else "switched off", change)


@admin.register(Checkpoint)
class CheckpointAdmin(KeptAdmin):
    """Checkpoints: the nodes of the trees."""

    list_display = ["__str__", "experiment", "kind", "step", "size", "sha256", "created_at"]
    list_filter = ["kind", "experiment"]
    list_select_related = ["experiment", "branch__experiment"]
    search_fields = ["tag", "sha256", "note"]

    @admin.display(description="size", ordering="size_bytes")
    def size(self, checkpoint: Checkpoint) -> str:
        """Return the size of the file."""
        return filesizeformat(checkpoint.size_bytes)


class EventInline(TabularInline):  # type: ignore[misc]
    """What was asked of a job and what happened to it."""

    model = JobEvent
    fields = ["created_at", "kind", "payload", "status", "step", "message", "actor"]
    readonly_fields = fields
    extra = 0
    can_delete = False

    @override
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return no."""
        return False


@admin.register(Job)
class JobAdmin(KeptAdmin):
    """Jobs with their events."""

    list_display = [
        "id",
        "title",
        "kind",
        "state",
        "progress",
        "worker",
        "attempt",
        "created_by",
        "created_at",
    ]
    list_filter = ["state", "kind", "queue"]
    list_select_related = ["worker", "created_by"]
    search_fields = ["title", "message"]
    inlines = [EventInline]
    actions = ["stop"]

    @admin.display(description="progress")
    def progress(self, job: Job) -> str:
        """Return step and total."""
        return f"{job.step}/{job.total_steps}" if job.total_steps else ""

    @admin.action(description="Stop")
    def stop(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        """Ask jobs to stop; those that wait are cancelled."""

        def change(job: Job) -> None:
            jobs.request_control(actor=request.user, job=job, kind="stop")

        self.each(request, rows, "asked to stop", change)


@admin.register(LossBlock)
class LossBlockAdmin(KeptAdmin):
    """Loss points, which lie in blocks of steps, shown as rows of (step, series, value)."""

    list_display = ["job", "start", "count", "names", "attempt", "seq"]
    list_select_related = ["job"]
    search_fields = ["=job__id"]
    fields = ["job", "start", "count", "attempt", "seq", "points"]
    readonly_fields = ["points"]
    show_full_result_count = False  # counting millions of rows takes longer than showing a page of them

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[LossBlock]:
        """Return the rows; a list needs no values."""
        rows: QuerySet[LossBlock] = super().get_queryset(request)
        match = request.resolver_match
        is_list = match is not None and (match.url_name or "").endswith("_changelist")
        return rows.defer("values", "clock", "sums", "counts", "minima", "maxima") if is_list else rows

    @admin.display(description="series")
    def names(self, block: LossBlock) -> str:
        """Return the names of the series."""
        return ", ".join(block.series)

    @admin.display(description="points")
    def points(self, block: LossBlock) -> SafeString:
        """Return the values as a table, a line a step."""
        steps = blocks.load(block.start, block.series, block.values, block.clock)
        head = format_html_join("", "<th scope=col>{}</th>", ((name,) for name in steps.series))
        lines = (
            (
                steps.start + index,
                format_html_join("", "<td>{}</td>", (("" if np.isnan(v) else f"{v:.6g}",) for v in column)),
            )
            for index, column in enumerate(steps.values.T[:STEPS_SHOWN])
        )
        body = format_html_join("", "<tr><th scope=row>{}</th>{}</tr>", lines)
        more = f"and {steps.count - STEPS_SHOWN} more steps" if steps.count > STEPS_SHOWN else ""
        return format_html(
            "<table><thead><tr><th scope=col>step</th>{}</tr></thead><tbody>{}</tbody></table>{}",
            head,
            body,
            more,
        )


@admin.register(OutboxMessage)
class OutboxMessageAdmin(KeptAdmin):
    """Doorbells that nobody has answered yet."""

    list_display = ["job", "queue", "created_at", "rung_at", "rings"]
    list_filter = ["queue"]
    list_select_related = ["job"]


@admin.register(Worker)
class WorkerAdmin(KeptAdmin):
    """Workers as they last described themselves."""

    list_display = ["name", "device", "queues", "state", "heartbeat_at", "hostname", "pid"]
    list_filter = ["state", "device"]
    search_fields = ["name", "hostname"]
    actions = ["drain", "resume", "retire"]

    @admin.action(description="Drain: finish, and take no more jobs")
    def drain(self, request: HttpRequest, rows: QuerySet[Worker]) -> None:
        """Let workers take no more jobs."""
        self.each(request, rows, "draining", lambda worker: workers.drain(name=worker.name))

    @admin.action(description="Resume: take jobs again")
    def resume(self, request: HttpRequest, rows: QuerySet[Worker]) -> None:
        """Let workers take jobs again."""
        self.each(request, rows, "online", lambda worker: workers.resume(name=worker.name))

    @admin.action(description="Retire: take no more jobs, even when started again")
    def retire(self, request: HttpRequest, rows: QuerySet[Worker]) -> None:
        """Let workers take no more jobs for good."""
        self.each(request, rows, "retired", lambda worker: workers.retire(name=worker.name))

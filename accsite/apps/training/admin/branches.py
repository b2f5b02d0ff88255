"""Branches with their tasks."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from typing_extensions import override

from acc.errors import InvalidInput
from accsite.actions import perform
from accsite.actions.admin import ActionsAdmin
from accsite.apps.access.admin_parts import (
    RowsInline,
    each_row,
    lines,
    link_to_list,
    linked,
)
from accsite.apps.jobs.models import Job
from accsite.apps.registry.models import Plugin
from accsite.apps.training.actions.evaluate_checkpoint import EvaluateCheckpoint
from accsite.apps.training.admin.task_forms import TaskForms
from accsite.apps.training.models import Branch, Checkpoint, Experiment, Task
from accsite.apps.training.services import tasks


class TaskInline(RowsInline):
    """The tasks of a branch."""

    model = Task
    fields = ["name", "key", "task_class", "dataset", "weight", "enabled", "removed_at"]
    show_change_link = True


@admin.register(Branch)
class BranchAdmin(ActionsAdmin):
    """Branches and where they stand."""

    list_display = ["name", "of", "head_link", "forked", "auto_evaluate", "work", "created_at"]
    list_filter = ["auto_evaluate", "experiment"]
    list_select_related = ["experiment", "head__branch__experiment", "forked_from__branch__experiment"]
    search_fields = ["name", "slug", "experiment__name"]
    actions = ["evaluate_head"]
    fields = [
        "name",
        "slug",
        "of",
        "head_link",
        "forked",
        "auto_evaluate",
        "evaluate_every",
        "work",
        "created_at",
    ]
    inlines = [TaskInline]
    of = linked("experiment", ordering="experiment__name")
    head_link = linked("head")
    forked = linked("forked_from", "forked from")

    @override
    def seen(self, user: Any) -> QuerySet[Branch]:
        return Branch.objects.filter(experiment__in=Experiment.objects.visible_to(user))

    @override
    def view_on_site(self, obj: Branch) -> str:
        return reverse("training:workbench", args=[obj.experiment.slug, obj.slug])

    @admin.display(description="work")
    def work(self, branch: Branch) -> SafeString:
        """Return links to its jobs and checkpoints."""
        return lines(
            [
                link_to_list(Job, "jobs", branch__id__exact=branch.pk),
                link_to_list(Checkpoint, "checkpoints", branch__id__exact=branch.pk),
            ]
        )

    @admin.action(description="Evaluate the head")
    def evaluate_head(self, request: HttpRequest, rows: QuerySet[Branch]) -> None:
        """Queue a measuring of where branches stand."""

        def change(branch: Branch) -> None:
            if branch.head is None:
                raise InvalidInput({"head": "it has no checkpoint yet; train it first"})
            perform(EvaluateCheckpoint, actor=request.user, thing=branch.head, data={})

        self.each(request, rows.select_related("head__branch__experiment"), "to be evaluated", change)


@admin.register(Task)
class TaskAdmin(TaskForms, ActionsAdmin):
    """Tasks; what is changed of one is applied to a running job between two of its steps."""

    list_display = ["name", "on_branch", "plugin", "data", "weight", "enabled", "reads", "removed_at"]
    list_filter = ["task_class", "enabled", ("removed_at", admin.EmptyFieldListFilter), "branch__experiment"]
    list_select_related = ["branch__experiment", "dataset"]
    search_fields = ["name", "key", "branch__experiment__name"]
    actions = ["switch_on", "switch_off", "remove", "restore"]
    on_branch = linked("branch", ordering="branch")
    data = linked("dataset", ordering="dataset__name")
    switch_on = each_row(
        "Switch on", "switched on", lambda user, row: tasks.set_enabled(actor=user, task=row, enabled=True)
    )
    switch_off = each_row(
        "Switch off", "switched off", lambda user, row: tasks.set_enabled(actor=user, task=row, enabled=False)
    )
    remove = each_row(
        "Remove (can be undone)", "removed", lambda user, row: tasks.remove_task(actor=user, task=row)
    )
    restore = each_row("Restore", "restored", lambda user, row: tasks.restore_task(actor=user, task=row))

    @override
    def seen(self, user: Any) -> QuerySet[Task]:
        return Task.objects.filter(branch__experiment__in=Experiment.objects.visible_to(user))

    @admin.display(description="class", ordering="task_class")
    def plugin(self, task: Task) -> SafeString:
        return link_to_list(Plugin, task.task_class, kind__exact="task", q=task.task_class)

    @admin.display(description="reads")
    def reads(self, task: Task) -> str:
        if task.factor:
            return task.factor
        return f"{task.latent_start}:{task.latent_end}" if task.latent_start is not None else "all"

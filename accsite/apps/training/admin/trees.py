"""Experiments with their branches, tasks and checkpoints."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.safestring import SafeString
from typing_extensions import override

from acc.errors import InvalidInput
from accsite.actions.admin import ActionsAdmin
from accsite.apps.access.admin_parts import (
    KeptAdmin,
    RowsInline,
    as_json,
    badged,
    counted,
    each_row,
    lines,
    link,
    link_to_list,
    linked,
    panels,
)
from accsite.apps.jobs.models import Job
from accsite.apps.registry.models import Plugin
from accsite.apps.training.admin import badges
from accsite.apps.training.admin.task_forms import TaskForms
from accsite.apps.training.models import Branch, Checkpoint, Experiment, ExperimentShare, Task
from accsite.apps.training.services import deletion, jobs, marks, tasks


class BranchInline(RowsInline):
    """The branches of an experiment."""

    model = Branch
    fields = ["name", "slug", "head", "forked_from", "created_at"]
    show_change_link = True

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Branch]:
        """Return the rows with what their columns name."""
        rows: QuerySet[Branch] = super().get_queryset(request)
        return rows.select_related("head__branch__experiment", "forked_from__branch__experiment")


class ShareInline(RowsInline):
    """With whom an experiment is shared."""

    model = ExperimentShare
    fields = ["user", "level"]


class TaskInline(RowsInline):
    """The tasks of a branch."""

    model = Task
    fields = ["name", "key", "task_class", "dataset", "weight", "enabled", "removed_at"]
    show_change_link = True


@admin.register(Experiment)
class ExperimentAdmin(KeptAdmin):
    """Experiments with their branches."""

    list_display = ["name", "architecture", "owner", "seen_by", "trees", "created_at"]
    list_filter = ["visibility", "owner"]
    list_select_related = ["owner"]
    search_fields = ["name", "slug", "owner__username"]
    date_hierarchy = "created_at"
    fields = ["name", "slug", "owner", "seen_by", "trees", "model_text", "retention", "created_at"]
    inlines = [BranchInline, ShareInline]
    model_text = as_json("model_spec", "model")
    seen_by = badged("visibility", badges.VISIBILITIES)

    @override
    def seen(self, user: Any) -> QuerySet[Experiment]:
        """Return what the user may see, and how much has grown from each."""
        rows = Experiment.objects.visible_to(user).select_related("owner")
        return rows.annotate(
            branch_count=Count("branches", distinct=True), node_count=Count("checkpoints", distinct=True)
        )

    @override
    def view_on_site(self, obj: Experiment) -> str:
        return reverse("training:experiment", args=[obj.slug])

    @admin.display(description="architecture")
    def architecture(self, experiment: Experiment) -> str:
        return str(experiment.model_spec.get("architecture", ""))

    @admin.display(description="grown from it")
    def trees(self, experiment: Any) -> SafeString:
        """Return links to its branches, checkpoints and jobs."""
        return lines(
            [
                link_to_list(
                    Branch,
                    counted(experiment.branch_count, "branch", "branches"),
                    experiment__id__exact=experiment.pk,
                ),
                link_to_list(
                    Checkpoint,
                    counted(experiment.node_count, "checkpoint"),
                    experiment__id__exact=experiment.pk,
                ),
                link_to_list(Job, "jobs", branch__experiment__id__exact=experiment.pk),
            ]
        )


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
            jobs.submit_evaluation(actor=request.user, checkpoint=branch.head)

        self.each(request, rows.select_related("head__branch__experiment"), "to be evaluated", change)


@admin.register(Task)
class TaskAdmin(TaskForms, KeptAdmin):
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


@admin.register(Checkpoint)
class CheckpointAdmin(ActionsAdmin):
    """Checkpoints: the nodes of the trees, those as well that wait to be restored."""

    list_display = ["__str__", "of", "on_branch", "sort", "step", "size", "star_of", "made_by", "created_at"]
    list_filter = [
        "kind",
        "starred",
        ("deleted_at", admin.EmptyFieldListFilter),
        ("weights_pruned_at", admin.EmptyFieldListFilter),
        "experiment",
    ]
    list_select_related = ["experiment", "branch__experiment", "job"]
    large = ("spec", "losses", "job__spec")
    search_fields = ["tag", "sha256", "note", "experiment__name"]
    date_hierarchy = "created_at"
    actions = ["evaluate", "star", "unstar", "remove", "restore"]
    fields = [
        "of",
        "on_branch",
        "grew_from",
        "grown",
        "made_by",
        "sort",
        "step",
        "job_step",
        "tag",
        "note",
        "starred",
        "size",
        "sha256",
        "weights_pruned_at",
        "deleted_at",
        "created_by",
        "created_at",
        "losses_text",
        "shown",
        "spec_text",
    ]
    of = linked("experiment", ordering="experiment__name")
    on_branch = linked("branch")
    grew_from = linked("parent", "grew from")
    losses_text = as_json("losses")
    spec_text = as_json("spec", "specification")
    sort = badged("kind", badges.CHECKPOINT_KINDS)
    evaluate = each_row(
        "Evaluate",
        "to be evaluated",
        lambda user, row: jobs.submit_evaluation(actor=user, checkpoint=row),
    )
    star = each_row(
        "Star: keep from pruning",
        "starred",
        lambda user, row: marks.mark_checkpoint(actor=user, checkpoint=row, starred=True),
    )
    unstar = each_row(
        "Take the star off",
        "without a star",
        lambda user, row: marks.mark_checkpoint(actor=user, checkpoint=row, starred=False),
    )
    remove = each_row(
        "Delete those that nothing needs (can be undone)",
        "deleted",
        lambda user, row: deletion.delete_checkpoint(actor=user, checkpoint=row),
    )

    @override
    def seen(self, user: Any) -> QuerySet[Checkpoint]:
        return Checkpoint.everything.filter(experiment__in=Experiment.objects.visible_to(user))

    @override
    def view_on_site(self, obj: Checkpoint) -> str:
        """Return its place in the tree."""
        return f"{reverse('training:experiment', args=[obj.experiment.slug])}?node={obj.pk}"

    @admin.display(description="grown from it")
    def grown(self, checkpoint: Checkpoint) -> SafeString:
        return link_to_list(Checkpoint, "children", parent__id__exact=checkpoint.pk)

    @admin.display(description="job", ordering="job")
    def made_by(self, checkpoint: Checkpoint) -> SafeString:
        return link(checkpoint.job, f"job {checkpoint.job_id}")

    @admin.display(description="size", ordering="size_bytes")
    def size(self, checkpoint: Checkpoint) -> str:
        return filesizeformat(checkpoint.size_bytes)

    @admin.display(description="starred", ordering="starred")
    def star_of(self, checkpoint: Checkpoint) -> str:
        return "★" if checkpoint.starred else ""

    @admin.display(description="measured")
    def shown(self, checkpoint: Checkpoint) -> SafeString:
        return panels(checkpoint)

    @admin.action(description="Restore, with all that was deleted with it")
    def restore(self, request: HttpRequest, rows: QuerySet[Checkpoint]) -> None:
        """Undo deletions."""

        def change(row: Checkpoint) -> None:
            row.refresh_from_db()  # another of them may have brought it back
            if row.deleted_at is not None:
                deletion.restore_deletion(
                    actor=request.user, experiment=row.experiment, deletion=row.deletion
                )

        self.each(request, rows.select_related("experiment"), "restored", change)

"""Checkpoints: the nodes of the trees."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.safestring import SafeString
from typing_extensions import override

from accsite.actions.admin import ActionsAdmin
from accsite.apps.access.admin_parts import (
    badge,
    link,
    link_to_list,
    panels,
    pretty,
)
from accsite.apps.training.models import Checkpoint, Experiment
from accsite.apps.training.services import jobs
from accsite.apps.trees.admin import badges
from accsite.apps.trees.services import deletion, marks


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
    readonly_fields = [
        "of",
        "on_branch",
        "grew_from",
        "grown",
        "made_by",
        "sort",
        "size",
        "losses_text",
        "shown",
        "spec_text",
    ]

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Checkpoint]:
        """Return what the user may see; a list needs no specifications."""
        rows = Checkpoint.everything.filter(experiment__in=Experiment.objects.visible_to(request.user))
        return rows.defer("spec", "losses", "job__spec") if self.is_list(request) else rows

    @override
    def view_on_site(self, obj: Checkpoint) -> str:
        """Return its place in the tree."""
        return f"{reverse('trees:experiment', args=[obj.experiment.slug])}?node={obj.pk}"

    @admin.display(description="experiment", ordering="experiment__name")
    def of(self, checkpoint: Checkpoint) -> SafeString:
        return link(checkpoint.experiment)

    @admin.display(description="branch")
    def on_branch(self, checkpoint: Checkpoint) -> SafeString:
        return link(checkpoint.branch)

    @admin.display(description="grew from")
    def grew_from(self, checkpoint: Checkpoint) -> SafeString:
        return link(checkpoint.parent)

    @admin.display(description="grown from it")
    def grown(self, checkpoint: Checkpoint) -> SafeString:
        return link_to_list(Checkpoint, "children", parent__id__exact=checkpoint.pk)

    @admin.display(description="job", ordering="job")
    def made_by(self, checkpoint: Checkpoint) -> SafeString:
        return link(checkpoint.job, f"job {checkpoint.job_id}")

    @badge(badges.CHECKPOINT_KINDS)
    @admin.display(description="kind", ordering="kind")
    def sort(self, checkpoint: Checkpoint) -> str:
        return checkpoint.kind

    @admin.display(description="size", ordering="size_bytes")
    def size(self, checkpoint: Checkpoint) -> str:
        return filesizeformat(checkpoint.size_bytes)

    @admin.display(description="starred", ordering="starred")
    def star_of(self, checkpoint: Checkpoint) -> str:
        return "★" if checkpoint.starred else ""

    @admin.display(description="losses")
    def losses_text(self, checkpoint: Checkpoint) -> SafeString:
        """Return the last value of each series."""
        return pretty(checkpoint.losses)

    @admin.display(description="measured")
    def shown(self, checkpoint: Checkpoint) -> SafeString:
        """Return what other apps show of it."""
        return panels(checkpoint)

    @admin.display(description="specification")
    def spec_text(self, checkpoint: Checkpoint) -> SafeString:
        return pretty(checkpoint.spec)

    @admin.action(description="Evaluate")
    def evaluate(self, request: HttpRequest, rows: QuerySet[Checkpoint]) -> None:
        """Queue a measuring of checkpoints."""

        def change(row: Checkpoint) -> None:
            jobs.submit_evaluation(actor=request.user, checkpoint=row)

        self.each(request, rows.select_related("branch__experiment"), "to be evaluated", change)

    @admin.action(description="Star: keep from pruning")
    def star(self, request: HttpRequest, rows: QuerySet[Checkpoint]) -> None:
        self._mark(request, rows, True)

    @admin.action(description="Take the star off")
    def unstar(self, request: HttpRequest, rows: QuerySet[Checkpoint]) -> None:
        """Take stars off."""
        self._mark(request, rows, False)

    def _mark(self, request: HttpRequest, rows: QuerySet[Checkpoint], starred: bool) -> None:
        def change(row: Checkpoint) -> None:
            marks.mark_checkpoint(actor=request.user, checkpoint=row, starred=starred)

        self.each(request, rows, "starred" if starred else "without a star", change)

    @admin.action(description="Delete those that nothing needs (can be undone)")
    def remove(self, request: HttpRequest, rows: QuerySet[Checkpoint]) -> None:
        """Delete leaves."""
        self.each(
            request,
            rows,
            "deleted",
            lambda row: deletion.delete_checkpoint(actor=request.user, checkpoint=row),
        )

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

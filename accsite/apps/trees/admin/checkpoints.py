"""Checkpoints: the nodes of the trees."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.safestring import SafeString
from typing_extensions import override

from accsite.actions import perform
from accsite.actions.admin import ActionsAdmin, on_each
from accsite.apps.access.admin_parts import (
    as_json,
    badged,
    link,
    link_to_list,
    linked,
    panels,
)
from accsite.apps.training.actions.evaluate_checkpoint import EvaluateCheckpoint
from accsite.apps.training.models import Checkpoint, Experiment
from accsite.apps.trees.actions.delete_checkpoint import DeleteCheckpoint
from accsite.apps.trees.actions.mark_checkpoint import MarkCheckpoint
from accsite.apps.trees.actions.restore_checkpoints import RestoreCheckpoints
from accsite.apps.trees.admin import badges


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
    evaluate = on_each(EvaluateCheckpoint, "Evaluate", "to be evaluated")
    star = on_each(MarkCheckpoint, "Star: keep from pruning", "starred", starred=True)
    unstar = on_each(MarkCheckpoint, "Take the star off", "without a star", starred=False)
    remove = on_each(DeleteCheckpoint, "Delete those that nothing needs (can be undone)", "deleted")

    @override
    def seen(self, user: Any) -> QuerySet[Checkpoint]:
        return Checkpoint.everything.filter(experiment__in=Experiment.objects.visible_to(user))

    @override
    def view_on_site(self, obj: Checkpoint) -> str:
        """Return its place in the tree."""
        return f"{reverse('trees:experiment', args=[obj.experiment.slug])}?node={obj.pk}"

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
                asked = {"deletion": row.deletion}
                perform(RestoreCheckpoints, actor=request.user, thing=row.experiment, data=asked)

        self.each(request, rows.select_related("experiment"), "restored", change)

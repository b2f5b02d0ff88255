"""Experiments with their branches, and with whom they are shared."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from typing_extensions import override

from accsite.actions.admin import ActionsAdmin
from accsite.apps.access.admin_parts import (
    RowsInline,
    as_json,
    badged,
    counted,
    lines,
    link_to_list,
)
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Branch, Checkpoint, Experiment, ExperimentShare
from accsite.apps.trees.admin import badges


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


@admin.register(Experiment)
class ExperimentAdmin(ActionsAdmin):
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
        return reverse("trees:experiment", args=[obj.slug])

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

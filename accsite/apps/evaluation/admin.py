"""Evaluations, to look at."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from typing_extensions import override
from unfold.admin import TabularInline

from accsite.apps.access.admin import ReadOnlyAdmin
from accsite.apps.evaluation.models import Artifact, Evaluation, Metric


class MetricInline(TabularInline):  # type: ignore[misc]
    """The numbers of an evaluation."""

    model = Metric
    fields = ["task_key", "name", "value", "baseline", "higher_is_better", "reason"]
    readonly_fields = fields
    extra = 0
    can_delete = False

    @override
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return no."""
        return False


class ArtifactInline(TabularInline):  # type: ignore[misc]
    """The pictures of an evaluation."""

    model = Artifact
    fields = ["kind", "name", "picture", "sha256"]
    readonly_fields = fields
    extra = 0
    can_delete = False

    @override
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return no."""
        return False

    @admin.display(description="picture")
    def picture(self, artifact: Artifact) -> SafeString:
        """Return the picture."""
        where = reverse("api:evaluation-artifact", args=[artifact.evaluation_id, artifact.pk])
        return format_html('<img src="{}" alt="{}">', where, artifact.kind)


@admin.register(Evaluation)
class EvaluationAdmin(ReadOnlyAdmin):
    """What was measured of checkpoints."""

    list_display = ["id", "branch", "step", "suite", "seconds", "created_at"]
    list_filter = ["branch__experiment"]
    list_select_related = ["branch__experiment"]
    inlines = [MetricInline, ArtifactInline]

    @override
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return no: the stored pictures would stay behind."""
        return False

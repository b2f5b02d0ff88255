"""Studies, and what came of each arm and seed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from typing_extensions import override

from accsite.actions.admin import ActionsAdmin
from accsite.apps.access.admin_parts import RowsInline, as_json, linked
from accsite.apps.studies.models import Study, StudyResult
from accsite.apps.studies.selectors import state_of


class ResultInline(RowsInline):
    """The arms and seeds of a study."""

    model = StudyResult
    fields = ["number", "arm", "seed", "state", "branch", "job", "checkpoint", "seconds", "message"]

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[StudyResult]:
        rows: QuerySet[StudyResult] = super().get_queryset(request)
        return rows.select_related("branch__experiment", "job", "checkpoint__branch__experiment")


@admin.register(Study)
class StudyAdmin(ActionsAdmin):
    """Studies; what is done of one is in its results."""

    list_display = ["name", "now", "visibility", "owner", "run_link", "created_at"]
    list_select_related = ["run__job", "owner"]
    search_fields = ["name", "slug", "owner__username"]
    list_filter = ["visibility"]
    fields = ["name", "slug", "owner", "visibility", "now", "run_link", "sha256", "created_at", "plan_text"]
    inlines = [ResultInline]
    run_link = linked("run")
    plan_text = as_json("plan", "plan")

    @override
    def seen(self, user: Any) -> QuerySet[Study]:
        return Study.objects.visible_to(user)

    @override
    def view_on_site(self, obj: Study) -> str:
        return reverse("studies:study", args=[obj.slug])

    @admin.display(description="state")
    def now(self, study: Study) -> str:
        return state_of(study)

"""Doorbells that nobody has answered yet."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from typing_extensions import override

from accsite.apps.access.admin_parts import KeptAdmin, link
from accsite.apps.jobs.models import Job, OutboxMessage


@admin.register(OutboxMessage)
class OutboxMessageAdmin(KeptAdmin):
    """Doorbells that nobody has answered yet."""

    list_display = ["id", "of", "queue", "created_at", "rung_at", "rings"]
    list_filter = ["queue"]
    list_select_related = ["job"]
    fields = ["of", "queue", "created_at", "rung_at", "rings"]
    readonly_fields = ["of"]

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxMessage]:
        """Return those of jobs that the user may see."""
        return OutboxMessage.objects.filter(job__in=Job.objects.visible_to(request.user))

    @admin.display(description="job", ordering="job")
    def of(self, message: OutboxMessage) -> SafeString:
        return link(message.job)

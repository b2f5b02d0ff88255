"""Doorbells that nobody has answered yet."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from typing_extensions import override

from accsite.apps.access.admin_parts import KeptAdmin, linked
from accsite.apps.jobs.models import Job, OutboxMessage


@admin.register(OutboxMessage)
class OutboxMessageAdmin(KeptAdmin):
    """Doorbells that nobody has answered yet."""

    list_display = ["id", "of", "queue", "created_at", "rung_at", "rings"]
    list_filter = ["queue"]
    list_select_related = ["job"]
    fields = ["of", "queue", "created_at", "rung_at", "rings"]
    of = linked("job", ordering="job")

    @override
    def seen(self, user: Any) -> QuerySet[OutboxMessage]:
        return OutboxMessage.objects.filter(job__in=Job.objects.visible_to(user))

"""A look at the topics that pages watch."""

from __future__ import annotations

from django.contrib import admin
from typing_extensions import override

from accsite.apps.access.admin import ReadOnlyAdmin
from accsite.apps.live.models import Topic


@admin.register(Topic)
class TopicAdmin(ReadOnlyAdmin):
    """Each topic and how often it has changed."""

    list_display = ["name", "version"]
    search_fields = ["name"]

    @override
    def has_delete_permission(self, request: object, obj: object = None) -> bool:
        """Return no: a version that starts again would look old to every open page."""
        return False

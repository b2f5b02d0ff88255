"""A look at the topics that pages watch."""

from __future__ import annotations

from django.contrib import admin

from accsite.apps.access.admin_parts import KeptAdmin
from accsite.apps.live.models import Topic


@admin.register(Topic)
class TopicAdmin(KeptAdmin):
    """Each topic and how often it has changed; a version that began again would look old to every open page."""

    list_display = ["name", "version"]
    search_fields = ["name"]

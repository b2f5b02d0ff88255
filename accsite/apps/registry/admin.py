"""Plugins, their files and sources, to look at: only the disk provides them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from typing_extensions import override

from accsite.apps.access.admin import ReadOnlyAdmin
from accsite.apps.registry.models import Plugin, PluginFile, PluginSource


class KeptAdmin(ReadOnlyAdmin):
    """Rows that nobody may delete by hand: the next look at the disk would bring them back, or jobs need them."""

    @override
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return no."""
        return False


@admin.register(Plugin)
class PluginAdmin(KeptAdmin):
    """Classes by kind, those whose source was removed as well."""

    list_display = ["name", "kind", "label", "path", "built_in", "available", "updated_at"]
    list_filter = ["kind", "available", "built_in"]
    search_fields = ["name", "label", "path", "description"]


@admin.register(PluginFile)
class PluginFileAdmin(KeptAdmin):
    """Files as they are on disk now; a broken one shows its error and the lines around it."""

    list_display = ["path", "state", "error_line", "error", "loaded_at"]
    search_fields = ["path", "error"]

    @admin.display(description="state", ordering="error")
    def state(self, file: PluginFile) -> str:
        """Return whether the file loaded."""
        return "broken" if file.error else "loaded"


@admin.register(PluginSource)
class PluginSourceAdmin(KeptAdmin):
    """Every source that was ever good, by content."""

    list_display = ["path", "sha256", "first_seen_at"]
    search_fields = ["path", "sha256"]

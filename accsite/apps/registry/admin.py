"""Plugins, their files and sources, to look at: only the disk provides them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.safestring import SafeString
from typing_extensions import override

from acc.text import visible
from accsite.apps.access.admin_parts import (
    NOTHING,
    KeptAdmin,
    as_json,
    as_text,
    badge,
    badged,
    lines,
    link,
    link_to_list,
    plain,
)
from accsite.apps.access.permissions import is_administrator
from accsite.apps.registry.models import Plugin, PluginFile, PluginKind, PluginSource

KINDS = {
    PluginKind.TASK.value: "primary",
    PluginKind.GENERATOR.value: "info",
    PluginKind.RECIPE.value: "warning",
    PluginKind.MODEL.value: "success",
    PluginKind.METHOD.value: "default",
    PluginKind.METRIC.value: "default",
}


@admin.register(Plugin)
class PluginAdmin(KeptAdmin):
    """Classes by kind, those whose source was removed as well."""

    list_display = ["name", "sort", "label", "here", "file", "source_link", "comes_with", "updated_at"]
    list_filter = ["kind", "available", "built_in"]
    large = ("source__text", "params")
    list_select_related = ["source"]
    search_fields = ["name", "label", "path", "description"]
    fields = [
        "name",
        "sort",
        "label",
        "description",
        "here",
        "file",
        "source_link",
        "requires_text",
        "params_text",
    ]
    requires_text = as_json("requires", "needs")
    params_text = as_json("params", "parameters")
    sort = badged("kind", KINDS)

    @override
    def view_on_site(self, obj: Plugin) -> str:
        return f"{reverse('registry:plugins')}?kind={obj.kind}"

    @badge({"here": "success", "gone": "danger"})
    @admin.display(description="state", ordering="available")
    def here(self, plugin: Plugin) -> str:
        return "here" if plugin.available else "gone"

    @admin.display(description="file", ordering="path")
    def file(self, plugin: Plugin) -> SafeString:
        """Return its file as it is on disk now; a dash for what the engine itself brings."""
        return NOTHING if not plugin.path else link_to_list(PluginFile, plugin.path, q=plugin.path)

    @admin.display(description="source")
    def source_link(self, plugin: Plugin) -> SafeString:
        """Return the version that serves."""
        return link(plugin.source, plugin.source.pk[:8])

    @admin.display(description="provided by", ordering="built_in")
    def comes_with(self, plugin: Plugin) -> str:
        """Return whether the engine itself brings it, or the plugins folder."""
        return "ACC" if plugin.built_in else "plugins/"


@admin.register(PluginFile)
class PluginFileAdmin(KeptAdmin):
    """Files as they are on disk now; a broken one shows its error and the lines around it."""

    list_display = ["path", "state", "error_line", "error", "classes", "loaded_at"]
    list_filter = [("error", admin.EmptyFieldListFilter)]
    search_fields = ["path", "error"]
    fields = [
        "path",
        "state",
        "error",
        "error_line",
        "context",
        "detail",
        "printed",
        "classes",
        "sha256",
        "loaded_at",
    ]
    context = as_text("error_context", "lines around the error")
    detail = as_text("error_detail", "traceback")
    printed = as_text("output", "printed")

    @badge({"broken": "danger", "loaded": "success"})
    @admin.display(description="state", ordering="error")
    def state(self, file: PluginFile) -> str:
        return "broken" if file.error else "loaded"

    @admin.display(description="classes")
    def classes(self, file: PluginFile) -> SafeString:
        return link_to_list(Plugin, "classes", q=file.path)


@admin.register(PluginSource)
class PluginSourceAdmin(KeptAdmin):
    """Every source that was ever good, by content, and what came with imported checkpoints."""

    list_display = ["path", "sha256", "runs", "first_seen_at"]
    list_filter = [("on_disk_at", admin.EmptyFieldListFilter), ("approved_at", admin.EmptyFieldListFilter)]
    large = ("text",)
    search_fields = ["path", "sha256"]
    date_hierarchy = "first_seen_at"
    fields = [
        "path",
        "sha256",
        "first_seen_at",
        "runs",
        "origin",
        "approved_at",
        "approved_by",
        "serves",
        "source",
    ]

    @override
    def seen(self, user: Any) -> QuerySet[PluginSource]:
        rows = PluginSource.objects.all()
        # what came with a private experiment is told to nobody else
        return rows if is_administrator(user) else rows.exclude(on_disk_at=None)

    @override
    def view_on_site(self, obj: PluginSource) -> str:
        """Return the page on which an administrator reads it and decides."""
        return reverse("registry:source", args=[obj.pk])

    @badge({"from disk": "success", "approved": "info", "waiting for approval": "warning"})
    @admin.display(description="may run")
    def runs(self, source: PluginSource) -> str:
        """Return whether it may run here, and why."""
        if source.on_disk_at is not None:
            return "from disk"
        return "approved" if source.approved_at is not None else "waiting for approval"

    @admin.display(description="serves")
    def serves(self, source: PluginSource) -> SafeString:
        """Return the classes that it serves now."""
        return lines(link(plugin) for plugin in source.plugins.all())

    @admin.display(description="source")
    def source(self, source: PluginSource) -> SafeString:
        return plain(visible(source.text))

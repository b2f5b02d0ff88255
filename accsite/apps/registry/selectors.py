"""Reads plugin rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from acc.errors import InvalidInput
from acc.plugin_paths import plugin_paths
from accsite.apps.access.permissions import is_administrator
from accsite.apps.registry import approval
from accsite.apps.registry.models import Plugin, PluginFile, PluginKind, PluginSource, SourceQuerySet

_FIELDS = {
    PluginKind.TASK: "task_class",
    PluginKind.GENERATOR: "generator",
    PluginKind.RECIPE: "recipe",
    PluginKind.MODEL: "model.architecture",
    PluginKind.METHOD: "method",
    PluginKind.METRIC: "suite",
}


def available(kind: PluginKind | str) -> QuerySet[Plugin]:
    """Return the plugins of a kind that can be chosen now, by name."""
    return Plugin.objects.filter(kind=kind, available=True).order_by("name")


def get(kind: PluginKind | str, name: object) -> Plugin:
    """Return the available plugin, which may run here.

    Raises InvalidInput naming the field and the names that are known, NotApproved for a source that may not run.
    """
    kind = PluginKind(kind)
    found = available(kind).filter(name=name).first() if isinstance(name, str) else None
    if found is None:
        known = ", ".join(available(kind).values_list("name", flat=True)) or "none"
        gone = Plugin.objects.filter(kind=kind, name=str(name)).exists()
        why = "its source was removed" if gone else f"it is not a known {kind.label.lower()}"
        waiting = 0 if gone else len(unread())
        later = f"; {waiting} plugin files are still to be read, so try again in a moment" if waiting else ""
        raise InvalidInput({_FIELDS[kind]: f"{name!r} cannot be used: {why}; known: {known}{later}"})
    approval.require([found.source_id], field=_FIELDS[kind])
    return found


def unread() -> list[str]:
    """Return the plugin files on disk that the watcher has not told of yet, as it has in the seconds after a start.

    Raises InvalidInput (plugins) if their folders cannot be read.
    """
    try:
        there = set(plugin_paths(Path(settings.PLUGINS_ROOT)))
    except OSError as error:
        raise InvalidInput({"plugins": f"the folder of plugins cannot be read: {error}"}) from error
    return sorted(there - set(PluginFile.objects.values_list("path", flat=True)))


def source(sha256: str) -> PluginSource:
    """Return a kept source; raises InvalidInput (plugins) if it was never seen here."""
    found = PluginSource.objects.filter(sha256=sha256).first()
    if found is None:
        raise InvalidInput({"plugins": f"no plugin source with sha256 {sha256!r} is kept on this site"})
    return found


def sources_from_elsewhere(user: Any) -> SourceQuerySet:
    """Return the sources that this server's disk has never provided, the newest first; administrators alone see them.

    What came with a private experiment is told to nobody else.
    """
    found = PluginSource.objects.filter(on_disk_at=None).select_related("approved_by")
    return (found if is_administrator(user) else found.none()).order_by("-first_seen_at", "sha256")


def broken_files(kind: PluginKind | None = None) -> QuerySet[PluginFile]:
    """Return the files whose last load failed, by path; ``kind``: those of one folder alone."""
    broken = PluginFile.objects.exclude(error="")
    return broken if kind is None else broken.filter(path__startswith=f"{kind.value}s/")

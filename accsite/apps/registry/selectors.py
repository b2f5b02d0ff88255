"""Reads plugin rows."""

from __future__ import annotations

from django.db.models import QuerySet

from acc.errors import InvalidInput
from accsite.apps.registry.models import Plugin, PluginFile, PluginKind, PluginSource

_FIELDS = {
    PluginKind.TASK: "task_class",
    PluginKind.GENERATOR: "generator",
    PluginKind.RECIPE: "recipe",
    PluginKind.MODEL: "model.architecture",
}


def available(kind: PluginKind | str) -> QuerySet[Plugin]:
    """Return the plugins of a kind that can be chosen now, by name."""
    return Plugin.objects.filter(kind=kind, available=True).order_by("name")


def get(kind: PluginKind | str, name: object) -> Plugin:
    """Return the available plugin; raises InvalidInput naming the field and the names that are known."""
    kind = PluginKind(kind)
    found = available(kind).filter(name=name).first() if isinstance(name, str) else None
    if found is None:
        known = ", ".join(available(kind).values_list("name", flat=True)) or "none"
        gone = Plugin.objects.filter(kind=kind, name=str(name)).exists()
        why = "its source was removed" if gone else f"it is not a known {kind.label.lower()}"
        raise InvalidInput({_FIELDS[kind]: f"{name!r} cannot be used: {why}; known: {known}"})
    return found


def source(sha256: str) -> PluginSource:
    """Return a kept source; raises InvalidInput (plugins) if it was never seen here."""
    found = PluginSource.objects.filter(sha256=sha256).first()
    if found is None:
        raise InvalidInput({"plugins": f"no plugin source with sha256 {sha256!r} is kept on this site"})
    return found


def broken_files() -> QuerySet[PluginFile]:
    """Return the files whose last load failed, by path."""
    return PluginFile.objects.exclude(error="")

"""How plugins are found by a few letters: see ``accsite.search``."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from accsite import search
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.search.rows import best


def register() -> None:
    search.register("plugin", _plugins)
    search.register_pages(
        search.Page(
            "Plugins",
            "registry:plugins",
            "tasks, generators, models, methods, metrics and recipes",
            "code errors",
        )
    )


def _plugins(_user: Any, query: search.Query, limit: int) -> list[search.Found]:
    rows: QuerySet[Any] = Plugin.objects.filter(available=True).exclude(
        kind=PluginKind.RECIPE
    )  # recipes have pages of their own
    matching = best(rows, query, "label", "name", "kind", "path").defer("params", "description", "requires")
    return [
        search.Found(
            "plugin",
            row.label,
            f"{row.kind} {row.name}, {row.path}",
            f"{reverse('registry:plugins')}#{row.kind}-{row.name}",
            row.rank,
        )
        for row in matching[:limit]
    ]

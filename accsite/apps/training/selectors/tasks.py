"""Reads tasks, and whether the class of each can still be chosen."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, QuerySet

from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Task


def with_source_removed(rows: QuerySet[Task]) -> QuerySet[Task]:
    """Return ``rows``, each with ``source_removed``: its class is gone from ``plugins/``.

    Such a task is trained on from the last good source, which is kept.
    """
    available = Plugin.objects.filter(kind=PluginKind.TASK, name=OuterRef("task_class"), available=True)
    return rows.annotate(source_removed=~Exists(available))


def source_removed(task: Task) -> bool:
    """Return whether the class of a task is gone; without a query for rows of ``with_source_removed``."""
    known: bool | None = getattr(task, "source_removed", None)
    if known is None:
        rows = Plugin.objects.filter(kind=PluginKind.TASK, name=task.task_class, available=True)
        known = not rows.exists()
    return known

"""Reads tasks, and whether the class of each can still be chosen."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet

from acc.errors import InvalidInput
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Branch, Task


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


def find_task(branch: Branch, name: str, *, removed: bool | None) -> Task:
    """Return a task of a branch by key, else by name; raises InvalidInput naming the keys there are.

    ``removed``: whether it must have been removed from the branch; None: either, those that were not first.
    """
    if removed is None:
        called = branch.tasks.filter(Q(key=name) | Q(name=name))
        removed = called.exists() and not called.filter(removed_at=None).exists()
    rows = branch.tasks.filter(removed_at__isnull=not removed).select_related("dataset", "branch__experiment")
    found = [task for task in rows if task.key == name] or [task for task in rows if task.name == name]
    if len(found) == 1:
        return found[0]
    keys = ", ".join(task.key for task in found or rows) or "none"
    what = "removed task" if removed else "task"
    why = "is the name of several; give a key" if found else f"is not a {what} of {branch}; known"
    raise InvalidInput({"task": f"{name!r} {why}: {keys}"})

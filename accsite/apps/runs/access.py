"""Who may change what of the table of runs: a saved view is its owner's alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Model, QuerySet

from accsite.apps.access import permissions
from accsite.apps.runs.models import SavedView


def register() -> None:
    permissions.register(SavedView, lambda user, view: view.owner_id == user.pk)
    permissions.register_pages("runs", page_object)


_find_view = permissions.numbered(lambda user, _name: views_of(user))


def page_object(user: Any, name: str, arguments: Mapping[str, Any]) -> Model | None:
    """Return the saved view that an address names; None for the table itself. Raises Http404 for another's."""
    return _find_view(user, name, arguments)


def views_of(user: Any) -> QuerySet[SavedView]:
    """Return the views that a user has saved."""
    return SavedView.objects.filter(owner=user.pk)

"""Who may stop or resume which run of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Model
from django.http import Http404

from accsite.apps.access import permissions
from accsite.apps.recipes.models import RecipeRun


def register() -> None:
    """Register the rules; called once when Django is ready."""
    permissions.register(RecipeRun, may_change_run)
    permissions.register_pages("recipes", page_object)


def may_change_run(user: Any, run: RecipeRun) -> bool:
    """Return whether a user may stop or resume the run of a recipe: its maker, and operators."""
    mine = permissions.may_write(user) and run.created_by_id in (None, user.pk)
    return permissions.may_operate(user) or mine


def page_object(user: Any, _name: str, arguments: Mapping[str, Any]) -> Model | None:
    """Return the run that a page's address names; None where it names none.

    Raises Http404 for one that the user may not see, so that nothing tells them that it exists.
    """
    if "pk" not in arguments:
        return None
    found: Model | None = RecipeRun.objects.visible_to(user).filter(pk=arguments["pk"]).first()
    if found is None:
        raise Http404(f"there is no run {arguments['pk']} that you may see")
    return found

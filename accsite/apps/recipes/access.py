"""Who may stop or resume which run of a recipe."""

from __future__ import annotations

from typing import Any

from accsite.apps.access import permissions
from accsite.apps.recipes.models import RecipeRun


def register() -> None:
    permissions.register(RecipeRun, may_change_run)
    seen = permissions.numbered(lambda user, _name: RecipeRun.objects.visible_to(user))
    permissions.register_pages("recipes", seen)


def may_change_run(user: Any, run: RecipeRun) -> bool:
    """Return whether a user may stop or resume the run of a recipe: its maker, and operators."""
    mine = permissions.may_write(user) and run.created_by_id in (None, user.pk)
    return permissions.may_operate(user) or mine

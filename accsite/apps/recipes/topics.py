"""What pages may watch of recipes."""

from __future__ import annotations

from typing import Any

from accsite.apps.live import topics
from accsite.apps.recipes.models import RecipeRun


def register() -> None:
    topics.register("recipes")
    topics.register("recipe", may_see=_sees_run)


def _sees_run(user: Any, key: str) -> bool:
    return key.isdecimal() and RecipeRun.objects.visible_to(user).filter(pk=int(key)).exists()

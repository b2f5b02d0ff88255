"""Routes of recipes below ``/api/v1/``."""

from __future__ import annotations

from accsite.apps.recipes.api import views

router_entries = [
    ("recipes/runs", views.RecipeRunViewSet, "recipe-run"),
    ("recipes/run", views.RecipeStartViewSet, "recipe-start"),
]

"""Addresses of recipes and their runs."""

from __future__ import annotations

from django.urls import path

from accsite.actions.pages import addresses
from accsite.apps.recipes import views

app_name = "recipes"

urlpatterns = [
    *addresses(app_name),
    path("recipes/", views.index, name="recipes"),
    path("recipes/run/<slug:name>/", views.run_form, name="recipe"),
    path("recipes/runs/<int:pk>/", views.run, name="recipe-run"),
    path("recipes/runs/<int:pk>/control/", views.control, name="recipe-control"),
]

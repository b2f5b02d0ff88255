"""Addresses of notes."""

from __future__ import annotations

from django.urls import path

from accsite.apps.notes import views

app_name = "notes"

urlpatterns = [
    path("experiments/<slug:slug>/note/", views.of_experiment, name="experiment-note"),
    path("branches/<int:pk>/note/", views.of_branch, name="branch-note"),
]

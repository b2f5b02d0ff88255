"""Addresses of notes in the API."""

from __future__ import annotations

from django.urls import path

from accsite.apps.notes.api.views import BranchNote, ExperimentNote

urlpatterns = [
    path("experiments/<slug:slug>/note/", ExperimentNote.as_view(), name="experiment-note"),
    path("branches/<int:pk>/note/", BranchNote.as_view(), name="branch-note"),
]

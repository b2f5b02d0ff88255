"""Addresses of the table of runs in the API."""

from __future__ import annotations

from django.urls import path

from accsite.apps.runs.api import views

urlpatterns = [
    path("runs/", views.RunsView.as_view(), name="run-list"),
    path("runs/columns/", views.ColumnsView.as_view(), name="run-columns"),
    path("runs/groups/", views.GroupsView.as_view(), name="run-groups"),
    path("runs/export/", views.ExportView.as_view(), name="run-export"),
]

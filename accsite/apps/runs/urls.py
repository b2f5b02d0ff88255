"""Addresses of the table of runs."""

from __future__ import annotations

from django.urls import path

from accsite.apps.runs import views

app_name = "runs"

urlpatterns = [
    path("runs/", views.runs, name="runs"),
    path("runs/curves/", views.curves, name="curves"),
    path("runs/do/", views.act, name="act"),
    path("runs/views/", views.save_view, name="save-view"),
    path("runs/views/<int:pk>/delete/", views.delete_view, name="delete-view"),
]

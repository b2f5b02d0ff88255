"""Addresses of evaluations and their pictures."""

from __future__ import annotations

from django.urls import path

from accsite.apps.evaluation import views

app_name = "evaluation"

urlpatterns = [
    path("evaluate/", views.home, name="home"),
    path("evaluate/branch/<int:pk>/", views.branch, name="branch"),
    path("evaluate/branch/<int:pk>/run/", views.run, name="run"),
    path(
        "evaluate/branch/<int:pk>/reconstructions/",
        views.branch_reconstructions,
        name="branch-reconstructions",
    ),
    path("evaluate/artifacts/<int:pk>/", views.artifact, name="artifact"),
]

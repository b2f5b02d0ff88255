"""Routes of training below ``/api/v1/``."""

from __future__ import annotations

from django.urls import path

from accsite.apps.training.api import checkpoints, experiments, sharing, views

urlpatterns = [
    path("experiments/<slug:slug>/sharing/", sharing.SharingView.as_view(), name="experiment-sharing"),
]
router_entries = [
    ("experiments", experiments.ExperimentViewSet, "experiment"),
    ("branches", experiments.BranchViewSet, "branch"),
    ("tasks", views.TaskViewSet, "task"),
    ("jobs", views.JobViewSet, "job"),
    ("checkpoints", checkpoints.CheckpointViewSet, "checkpoint"),
]

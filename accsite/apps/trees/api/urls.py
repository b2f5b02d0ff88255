"""Routes of trees below ``/api/v1/``."""

from __future__ import annotations

from django.urls import path

from accsite.apps.trees.api import checkpoints, experiments, sharing

urlpatterns = [
    path("experiments/<slug:slug>/sharing/", sharing.SharingView.as_view(), name="experiment-sharing"),
]
router_entries = [
    ("experiments", experiments.ExperimentViewSet, "experiment"),
    ("checkpoints", checkpoints.CheckpointViewSet, "checkpoint"),
]

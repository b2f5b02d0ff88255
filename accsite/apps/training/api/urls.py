"""Routes of training below ``/api/v1/``."""

from __future__ import annotations

from accsite.apps.training.api import views, workers

router_entries = [
    ("experiments", views.ExperimentViewSet, "experiment"),
    ("branches", views.BranchViewSet, "branch"),
    ("tasks", views.TaskViewSet, "task"),
    ("jobs", views.JobViewSet, "job"),
    ("checkpoints", views.CheckpointViewSet, "checkpoint"),
    ("workers", workers.WorkerViewSet, "worker"),
    ("queue", workers.QueueViewSet, "queue"),
]

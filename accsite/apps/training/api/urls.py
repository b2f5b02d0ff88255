"""Routes of training below ``/api/v1/``."""

from __future__ import annotations

from django.urls import path

from accsite.apps.training.api import datasets, views, workers

urlpatterns = [
    path("datasets/import/", datasets.ImportView.as_view(), name="dataset-import"),
    path(
        "datasets/<slug:slug>/regeneration/", datasets.RegenerationView.as_view(), name="dataset-regeneration"
    ),
    path("generators/generate/", datasets.GenerateView.as_view(), name="generator-generate"),
    path("generators/preview/", datasets.PreviewView.as_view(), name="generator-preview"),
    path(
        "generators/previews/<slug:key>.png",
        datasets.PreviewPictureView.as_view(),
        name="generator-preview-picture",
    ),
]
router_entries = [
    ("experiments", views.ExperimentViewSet, "experiment"),
    ("branches", views.BranchViewSet, "branch"),
    ("tasks", views.TaskViewSet, "task"),
    ("jobs", views.JobViewSet, "job"),
    ("checkpoints", views.CheckpointViewSet, "checkpoint"),
    ("workers", workers.WorkerViewSet, "worker"),
    ("queue", workers.QueueViewSet, "queue"),
]

"""Routes of training below ``/api/v1/``."""

from __future__ import annotations

from django.urls import path

from accsite.apps.training.api import checkpoints, datasets, experiments, recipes, sharing, views

urlpatterns = [
    path("experiments/<slug:slug>/sharing/", sharing.SharingView.as_view(), name="experiment-sharing"),
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
    ("recipes/runs", recipes.RecipeRunViewSet, "recipe-run"),
    ("recipes/run", recipes.RecipeStartViewSet, "recipe-start"),
    ("experiments", experiments.ExperimentViewSet, "experiment"),
    ("branches", experiments.BranchViewSet, "branch"),
    ("tasks", views.TaskViewSet, "task"),
    ("jobs", views.JobViewSet, "job"),
    ("checkpoints", checkpoints.CheckpointViewSet, "checkpoint"),
]

"""Addresses of datasets in the API."""

from __future__ import annotations

from django.urls import path

from accsite.apps.datasets.api import making
from accsite.apps.datasets.api.views import DatasetViewSet

urlpatterns = [
    path("datasets/import/", making.ImportView.as_view(), name="dataset-import"),
    path("datasets/import/<int:pk>/", making.LookView.as_view(), name="dataset-look"),
    path(
        "datasets/import/<int:pk>/images.png", making.LookPictureView.as_view(), name="dataset-look-picture"
    ),
    path(
        "datasets/<slug:slug>/regeneration/", making.RegenerationView.as_view(), name="dataset-regeneration"
    ),
    path("generators/generate/", making.GenerateView.as_view(), name="generator-generate"),
    path("generators/preview/", making.PreviewView.as_view(), name="generator-preview"),
    path(
        "generators/previews/<slug:key>.png",
        making.PreviewPictureView.as_view(),
        name="generator-preview-picture",
    ),
]

router_entries = [("datasets", DatasetViewSet, "dataset")]

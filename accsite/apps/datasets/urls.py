"""Addresses of datasets."""

from __future__ import annotations

from django.urls import path, register_converter
from django.urls.converters import SlugConverter

from accsite.actions.pages import addresses
from accsite.apps.datasets import views
from accsite.apps.datasets.views import imports, make

app_name = "datasets"


class DatasetSlug(SlugConverter):
    """A slug that is not the address of a page beside the datasets': the forms that make them, and the comparison."""

    regex = r"(?!(?:new|import|compare)/)[-a-zA-Z0-9_]+"


register_converter(DatasetSlug, "dataset")

urlpatterns = [
    *addresses(app_name),
    path("datasets/", views.index, name="list"),
    path("datasets/compare/", views.compare, name="compare"),
    path("datasets/compare/difference.png", views.difference, name="difference"),
    path("datasets/compare/neighbours.png", views.neighbours, name="neighbours"),
    path("datasets/new/", make.generate, name="dataset-new"),
    path("datasets/new/preview/", make.preview, name="dataset-preview"),
    path("datasets/new/jobs/", make.making, name="dataset-jobs"),
    path("datasets/import/", imports.upload, name="dataset-import"),
    path("datasets/import/<int:pk>/", imports.looked, name="dataset-looked"),
    path("datasets/import/<int:pk>/images.png", imports.picture, name="dataset-looked-picture"),
    path("datasets/<dataset:slug>/", views.detail, name="detail"),
    path("datasets/<dataset:slug>/rename/", views.rename, name="rename"),
    path("datasets/<dataset:slug>/remove/", views.remove, name="remove"),
    path("datasets/<dataset:slug>/restore/", views.restore, name="restore"),
]

"""Addresses of datasets."""

from __future__ import annotations

from django.urls import path, register_converter
from django.urls.converters import SlugConverter

from accsite.apps.datasets import views

app_name = "datasets"


class DatasetSlug(SlugConverter):
    """A slug that is not ``new``: below that address stands the form which makes datasets."""

    regex = r"(?!new/)[-a-zA-Z0-9_]+"


register_converter(DatasetSlug, "dataset")

urlpatterns = [
    path("datasets/", views.index, name="list"),
    path("datasets/<dataset:slug>/", views.detail, name="detail"),
    path("datasets/<dataset:slug>/samples.png", views.samples, name="samples"),
]

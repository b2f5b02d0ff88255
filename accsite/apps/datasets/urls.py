"""Addresses of datasets."""

from __future__ import annotations

from django.urls import path

from accsite.apps.datasets import views

app_name = "datasets"

urlpatterns = [
    path("datasets/", views.index, name="list"),
    path("datasets/<slug:slug>/", views.detail, name="detail"),
    path("datasets/<slug:slug>/samples.png", views.samples, name="samples"),
]

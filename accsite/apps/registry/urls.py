"""Addresses of the plugins page."""

from __future__ import annotations

from django.urls import path

from accsite.apps.registry import views

app_name = "registry"

urlpatterns = [
    path("plugins/", views.plugins, name="plugins"),
    path("plugins/sources/<str:sha256>/", views.source, name="source"),
]

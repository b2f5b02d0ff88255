"""Addresses of operators."""

from __future__ import annotations

from django.urls import path

from accsite.apps.operations import views

app_name = "operations"
urlpatterns = [path("metrics", views.metrics, name="metrics")]

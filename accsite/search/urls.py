"""The address of the page that finds things."""

from __future__ import annotations

from django.urls import path

from accsite.search import views

app_name = "search"

urlpatterns = [path("", views.index, name="search")]

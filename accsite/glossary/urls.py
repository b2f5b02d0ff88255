"""The address of the page of words."""

from __future__ import annotations

from django.urls import path

from accsite.glossary import views

app_name = "glossary"

urlpatterns = [path("", views.index, name="glossary")]

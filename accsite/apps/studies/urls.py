"""Addresses of studies."""

from __future__ import annotations

from django.urls import path

from accsite.actions.pages import addresses
from accsite.apps.studies import views

app_name = "studies"

urlpatterns = [
    path("studies/", views.index, name="studies"),
    path("studies/<slug:slug>/", views.study, name="study"),
    path("studies/<slug:slug>/actions/", views.actions, name="study-actions"),
    path("studies/<slug:slug>/curves/", views.curves, name="study-curves"),
    path("studies/<slug:slug>/traversals/", views.traversals, name="study-traversals"),
    path("studies/<slug:slug>/removal/", views.removal, name="study-removal"),
    path("studies/<slug:slug>/export/<slug:form>/", views.export, name="study-export"),
    *addresses(app_name),
]

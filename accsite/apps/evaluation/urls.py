"""Addresses of evaluations and their pictures."""

from __future__ import annotations

from django.urls import path

from accsite.apps.evaluation import compare_views, tab_views, views

app_name = "evaluation"

ONE = "evaluate/<int:checkpoint>/"

urlpatterns = [
    path("evaluate/", views.home, name="home"),
    path("evaluate/go/", tab_views.go, name="go"),
    path("evaluate/branch/<int:pk>/", views.branch, name="branch"),
    path("evaluate/branch/<int:pk>/run/", views.run, name="run"),
    path("evaluate/branch/<int:pk>/auto/", views.auto, name="auto"),
    path(
        "evaluate/branch/<int:pk>/reconstructions/",
        views.branch_reconstructions,
        name="branch-reconstructions",
    ),
    path("evaluate/artifacts/<int:pk>/", views.artifact, name="artifact"),
    path(ONE, tab_views.tab, name="checkpoint"),
    path(ONE + "run/", tab_views.ask, name="ask"),
    path(ONE + "jobs/", tab_views.jobs, name="jobs"),
    path(ONE + "threshold/", tab_views.threshold, name="threshold"),
    path(ONE + "print/", tab_views.printable, name="print"),
    path(ONE + "export.csv", tab_views.export, name="export"),
    path(ONE + "<slug:name>/", tab_views.tab, name="tab"),
    path("compare/", compare_views.compare, name="compare"),
    path("compare/run/", compare_views.ask, name="compare-ask"),
    path("compare/export.<slug:form>", compare_views.export, name="compare-export"),
]

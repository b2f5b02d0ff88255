"""Addresses of evaluations and their pictures."""

from __future__ import annotations

from django.urls import path

from accsite.apps.evaluation.views import branches, compare, tabs

app_name = "evaluation"

ONE = "evaluate/<int:checkpoint>/"

urlpatterns = [
    path("evaluate/", branches.home, name="home"),
    path("evaluate/go/", tabs.go, name="go"),
    path("evaluate/branch/<int:pk>/", branches.branch, name="branch"),
    path("evaluate/branch/<int:pk>/run/", branches.run, name="run"),
    path("evaluate/branch/<int:pk>/auto/", branches.auto, name="auto"),
    path(
        "evaluate/branch/<int:pk>/reconstructions/",
        branches.branch_reconstructions,
        name="branch-reconstructions",
    ),
    path("evaluate/artifacts/<int:pk>/", branches.artifact, name="artifact"),
    path(ONE, tabs.tab, name="checkpoint"),
    path(ONE + "run/", tabs.ask, name="ask"),
    path(ONE + "jobs/", tabs.jobs, name="jobs"),
    path(ONE + "threshold/", tabs.threshold, name="threshold"),
    path(ONE + "print/", tabs.printable, name="print"),
    path(ONE + "export.csv", tabs.export, name="export"),
    path(ONE + "<slug:name>/", tabs.tab, name="tab"),
    path("compare/", compare.compare, name="compare"),
    path("compare/run/", compare.ask, name="compare-ask"),
    path("compare/export.<slug:form>", compare.export, name="compare-export"),
]

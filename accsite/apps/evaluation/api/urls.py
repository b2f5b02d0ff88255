"""Routes of evaluation below ``/api/v1/``."""

from __future__ import annotations

from django.urls import path

from accsite.apps.evaluation.api.asking import PARTS, CompareView, RunView, part_view
from accsite.apps.evaluation.api.thresholds import ThresholdsView
from accsite.apps.evaluation.api.views import EvaluationViewSet

urlpatterns = [
    path("branches/<int:id>/thresholds/", ThresholdsView.as_view(), name="branch-thresholds"),
    path("eval/run/", RunView.as_view(), name="eval-run"),
    path("eval/compare/", CompareView.as_view(), name="eval-compare"),
    *(
        path(f"eval/{name}/", part_view(name, what).as_view(), name=f"eval-{name}")
        for name, what in PARTS.items()
    ),
]
router_entries = [("evaluations", EvaluationViewSet, "evaluation")]

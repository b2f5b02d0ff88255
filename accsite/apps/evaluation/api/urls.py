"""Routes of evaluation below ``/api/v1/``."""

from __future__ import annotations

from accsite.apps.evaluation.api.views import EvaluationViewSet

router_entries = [("evaluations", EvaluationViewSet, "evaluation")]

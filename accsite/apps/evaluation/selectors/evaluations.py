"""Reads evaluations."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from accsite.apps.evaluation.models import Evaluation
from accsite.apps.training.models import Experiment

METRIC_COLUMNS = (
    "task_key",
    "name",
    "concept",
    "group",
    "dataset",
    "value",
    "low",
    "high",
    "chance",
)
"""Which number it is, and the number: what the API and the CSV both begin with."""


def visible_evaluations(user: Any) -> QuerySet[Evaluation]:
    """Return the evaluations of experiments that ``user`` may see, newest first, with numbers and pictures."""
    visible = Evaluation.objects.filter(branch__experiment__in=Experiment.objects.visible_to(user))
    return visible.select_related("branch__experiment").prefetch_related("metrics", "artifacts", "parts")

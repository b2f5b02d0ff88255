"""Reads what was measured. Nothing here changes a row."""

from accsite.apps.evaluation.selectors.evaluations import (
    METRIC_COLUMNS,
    visible_evaluations,
)

__all__ = ["METRIC_COLUMNS", "visible_evaluations"]

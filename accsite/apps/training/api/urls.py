"""Routes of training below ``/api/v1/``."""

from __future__ import annotations

from accsite.apps.training.api import branches, views

router_entries = [
    ("branches", branches.BranchViewSet, "branch"),
    ("tasks", views.TaskViewSet, "task"),
    ("jobs", views.JobViewSet, "job"),
]

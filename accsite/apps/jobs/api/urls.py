"""Routes of workers and queues below ``/api/v1/``."""

from __future__ import annotations

from accsite.apps.jobs.api import workers

router_entries = [
    ("workers", workers.WorkerViewSet, "worker"),
    ("queue", workers.QueueViewSet, "queue"),
]

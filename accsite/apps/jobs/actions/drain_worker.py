"""Drain a worker."""

from __future__ import annotations

from typing import Any

from accsite.actions import Action
from accsite.apps.jobs.access import ONLY_OPERATORS
from accsite.apps.jobs.models import Worker
from accsite.apps.jobs.services import workers


class DrainWorker(Action):
    """Let a worker finish and take no more jobs until it is resumed or started again (operators)."""

    on = Worker
    button = "jobs:worker-change"
    not_allowed = ONLY_OPERATORS
    in_a_list = "Drain: finish, and take no more jobs"
    done_to = "draining"
    verb, label = "drain", "Drain"

    def run(self, actor: Any, worker: Worker) -> Worker:  # noqa: ARG002
        workers.drain(name=worker.name)
        worker.refresh_from_db()
        return worker

"""Retire a worker."""

from __future__ import annotations

from typing import Any

from accsite.actions import Action
from accsite.apps.jobs.access import ONLY_OPERATORS
from accsite.apps.jobs.models import Worker
from accsite.apps.jobs.services import workers


class RetireWorker(Action):
    """Let a worker take no more jobs, even when it is started again (operators)."""

    on = Worker
    button = "jobs:worker-change"
    not_allowed = ONLY_OPERATORS
    in_a_list = "Retire: take no more jobs, even when started again"
    done_to = "retired"
    verb, label = "retire", "Retire"

    def run(self, actor: Any, worker: Worker) -> Worker:  # noqa: ARG002
        workers.retire(name=worker.name)
        worker.refresh_from_db()
        return worker

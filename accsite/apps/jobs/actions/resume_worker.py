"""Resume a worker."""

from __future__ import annotations

from typing import Any

from accsite.actions import Action
from accsite.apps.jobs.access import ONLY_OPERATORS
from accsite.apps.jobs.models import Worker
from accsite.apps.jobs.services import workers


class ResumeWorker(Action):
    """Let a draining or retired worker take jobs again (operators)."""

    on = Worker
    button = "jobs:worker-change"
    not_allowed = ONLY_OPERATORS
    in_a_list = "Resume: take jobs again"
    done_to = "online"
    verb, label = "resume", "Resume"

    def run(self, actor: Any, worker: Worker) -> Worker:  # noqa: ARG002
        workers.resume(name=worker.name)
        worker.refresh_from_db()
        return worker

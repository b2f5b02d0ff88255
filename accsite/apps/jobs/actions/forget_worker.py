"""Forget a worker."""

from __future__ import annotations

from typing import Any

from accsite.actions import Action
from accsite.apps.jobs.access import ONLY_OPERATORS
from accsite.apps.jobs.models import Worker
from accsite.apps.jobs.services import workers


class ForgetWorker(Action):
    """Delete the row of a worker that has gone (operators)."""

    on = Worker
    ends = True
    button = "jobs:worker-change"
    not_allowed = ONLY_OPERATORS
    in_a_list = "Forget those that have gone"
    done_to = "forgotten"
    verb, label = "forget", "Forget"
    said = "Worker {thing.name} is forgotten."

    def run(self, actor: Any, worker: Worker) -> None:  # noqa: ARG002
        workers.forget(name=worker.name)

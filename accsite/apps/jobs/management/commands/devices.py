"""``manage.py devices [list | drain | resume | retire | forget]``: the workers from a shell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import Model
from django.utils import timezone

from acc.errors import InvalidInput
from accsite.actions.commands import ActionCommand
from accsite.apps.jobs.api.serializers import WorkerSerializer
from accsite.apps.jobs.models import Worker
from accsite.apps.jobs.selectors.workers import WorkerRow, worker_rows
from accsite.cli import SUCCEEDED


class Command(ActionCommand):
    """List the workers with their devices, or drain, resume, retire or forget one."""

    help = "List the workers with their devices, or drain, resume, retire or forget one. Exit status 2 for bad input."

    on: ClassVar[type[Model]] = Worker
    called: ClassVar[str] = "name of the worker"
    own: ClassVar[tuple[str, ...]] = ("list",)

    def run_own(self, **_: Any) -> int:
        self._list(worker_rows())
        return SUCCEEDED

    def find(self, options: Mapping[str, Any]) -> Any:
        if not options["thing"]:
            why = f"name the worker to {options['verb']}; `devices list` shows them"
            raise InvalidInput({"worker": why})
        return super().find(options)

    def told(self, *_: Any) -> None:
        self._list(worker_rows())

    def _list(self, rows: list[WorkerRow]) -> None:
        if self.json:
            for row in rows:
                self.print_json({**WorkerSerializer(row.worker).data, "jobs": [job.pk for job in row.jobs]})
            return
        if not rows:
            self.stdout.write(
                "no worker has reported; start one: manage.py worker --queue train --device cpu"
            )
            return
        now = timezone.now()
        self.print_table(
            ("Worker", "State", "Device", "Queues", "Job", "Load", "Last sign"),
            [
                (
                    row.worker.name,
                    row.worker.state.lower(),
                    f"{row.worker.device} {row.device_name}".strip(),
                    ", ".join(row.worker.queues),
                    ", ".join(str(job.pk) for job in row.jobs) or "idle",
                    " · ".join(f"{figure.name} {figure.text}" for figure in row.figures),
                    f"{(now - row.worker.heartbeat_at).total_seconds():.0f} s ago",
                )
                for row in rows
            ],
        )

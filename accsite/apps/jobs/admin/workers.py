"""Workers, what they hold, and what operators ask of them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.utils.safestring import SafeString
from typing_extensions import override

from accsite.actions.admin import ActionsAdmin
from accsite.apps.access.admin_parts import as_json, badge, lines, link
from accsite.apps.jobs.admin import badges
from accsite.apps.jobs.models import Job, JobPart, Worker
from accsite.apps.jobs.states import HELD


@admin.register(Worker)
class WorkerAdmin(ActionsAdmin):
    """Workers as they last described themselves."""

    list_display = ["name", "now", "device", "serves", "holds", "heartbeat_at", "hostname", "pid"]
    list_filter = ["state", "device", "hostname"]
    search_fields = ["name", "hostname"]
    fields = [
        "name",
        "now",
        "device",
        "serves",
        "holds",
        "hostname",
        "address",
        "pid",
        "started_at",
        "heartbeat_at",
        "figures",
    ]
    figures = as_json("telemetry")

    @override
    def seen(self, user: Any) -> QuerySet[Worker]:
        """Return the workers with the jobs that they hold, or run ranks of, and the user may see."""
        held = Job.objects.visible_to(user).filter(state__in=HELD).defer("spec")
        parts = JobPart.objects.live().filter(job__in=held).select_related("job").defer("job__spec")
        return Worker.objects.prefetch_related(
            Prefetch("jobs", held, to_attr="held"), Prefetch("parts", parts, to_attr="joined")
        )

    @badge(badges.WORKER_STATES)
    @admin.display(description="state", ordering="state")
    def now(self, worker: Worker) -> tuple[str, str]:
        return worker.state, worker.get_state_display()

    @admin.display(description="queues")
    def serves(self, worker: Worker) -> str:
        return ", ".join(worker.queues)

    @admin.display(description="holds")
    def holds(self, worker: Worker) -> SafeString:
        joined = [part.job for part in getattr(worker, "joined", [])]
        return lines(link(job) for job in [*getattr(worker, "held", []), *joined])

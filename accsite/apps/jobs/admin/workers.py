"""Workers, what they hold, and what operators ask of them."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from typing_extensions import override

from accsite.apps.access.admin_parts import KeptAdmin, badge, lines, link, pretty
from accsite.apps.jobs.admin import badges
from accsite.apps.jobs.models import Job, JobPart, Worker
from accsite.apps.jobs.services import workers
from accsite.apps.jobs.states import HELD


@admin.register(Worker)
class WorkerAdmin(KeptAdmin):
    """Workers as they last described themselves."""

    list_display = ["name", "now", "device", "serves", "holds", "heartbeat_at", "hostname", "pid"]
    list_filter = ["state", "device", "hostname"]
    search_fields = ["name", "hostname"]
    actions = ["drain", "resume", "retire", "forget"]
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
    readonly_fields = ["now", "serves", "holds", "figures"]

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        """Return the workers with the jobs that they hold, or run ranks of, and the user may see."""
        held = Job.objects.visible_to(request.user).filter(state__in=HELD).defer("spec")
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

    @admin.display(description="telemetry")
    def figures(self, worker: Worker) -> SafeString:
        """Return what it last told."""
        return pretty(worker.telemetry)

    @admin.action(description="Drain: finish, and take no more jobs")
    def drain(self, request: HttpRequest, rows: QuerySet[Worker]) -> None:
        self.each(request, rows, "draining", lambda worker: workers.drain(name=worker.name))

    @admin.action(description="Resume: take jobs again")
    def resume(self, request: HttpRequest, rows: QuerySet[Worker]) -> None:
        """Let workers take jobs again."""
        self.each(request, rows, "online", lambda worker: workers.resume(name=worker.name))

    @admin.action(description="Retire: take no more jobs, even when started again")
    def retire(self, request: HttpRequest, rows: QuerySet[Worker]) -> None:
        """Let workers take no more jobs for good."""
        self.each(request, rows, "retired", lambda worker: workers.retire(name=worker.name))

    @admin.action(description="Forget those that have gone")
    def forget(self, request: HttpRequest, rows: QuerySet[Worker]) -> None:
        """Delete the rows of workers that are offline."""
        self.each(request, rows, "forgotten", lambda worker: workers.forget(name=worker.name))

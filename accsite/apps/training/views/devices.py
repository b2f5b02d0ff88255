"""Devices: the workers and what waits for them."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from accsite.apps.live import selectors as live
from accsite.apps.training import pages
from accsite.apps.training.models import Worker
from accsite.apps.training.views.common import panel


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Show each worker with its device, telemetry and job, and the jobs that wait."""
    return render(request, "training/devices.html", context(request))


@require_GET
def devices_panel(request: HttpRequest, name: str) -> HttpResponse:
    """Return one panel of the devices page as it is now."""
    if name not in ("workers", "queue"):
        raise Http404(f"the devices page has no panel {name!r}")
    return panel(request, name, context(request))


def context(request: HttpRequest) -> dict[str, object]:
    """Return what the devices page shows."""
    versions = live.versions(["jobs", "workers"])
    workers = pages.workers()
    return {
        "versions": versions,
        "place": "devices",
        "workers": workers,
        "online": sum(row.worker.state == Worker.State.ONLINE for row in workers),
        "queued": pages.queued(request.user),
        "workers_url": reverse("training:devices-panel", args=["workers"]),
        "queue_url": reverse("training:devices-panel", args=["queue"]),
    }

"""Addresses of the devices page."""

from __future__ import annotations

from django.urls import path

from accsite.actions.pages import addresses
from accsite.apps.jobs.views import devices

app_name = "jobs"

urlpatterns = [
    *addresses(app_name),
    path("devices/", devices.index, name="devices"),
    path("devices/workers/<int:pk>/", devices.change_worker, name="worker-change"),
    path("devices/queue/<int:pk>/", devices.change_queue, name="queue-change"),
    path("devices/panel/<slug:name>/", devices.devices_panel, name="devices-panel"),
]

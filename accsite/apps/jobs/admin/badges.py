"""Which tone of the theme each state has."""

from __future__ import annotations

from accsite.apps.jobs.models import JobEvent, Worker
from accsite.apps.jobs.states import JobState

JOB_STATES = {
    JobState.QUEUED.value: "info",
    JobState.CLAIMED.value: "info",
    JobState.RUNNING.value: "primary",
    JobState.PAUSED.value: "warning",
    JobState.LOST.value: "danger",
    JobState.SUCCEEDED.value: "success",
    JobState.FAILED.value: "danger",
    JobState.CANCELLED.value: "warning",
}


WORKER_STATES = {
    Worker.State.ONLINE.value: "success",
    Worker.State.DRAINING.value: "warning",
    Worker.State.RETIRED.value: "warning",
    Worker.State.OFFLINE.value: "danger",
}


EVENT_STATES = {
    JobEvent.Status.PENDING.value: "warning",
    JobEvent.Status.APPLIED.value: "success",
    JobEvent.Status.REFUSED.value: "danger",
    JobEvent.Status.RECORDED.value: "info",
}

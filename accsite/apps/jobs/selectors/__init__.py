"""Reads jobs, queues and workers. Nothing here changes a row."""

from accsite.apps.jobs.selectors.jobs import asked, held_places, job_state, job_states
from accsite.apps.jobs.selectors.waiting import Now, waits_for, what_each_waits_for

__all__ = [
    "Now",
    "asked",
    "held_places",
    "job_state",
    "job_states",
    "waits_for",
    "what_each_waits_for",
]

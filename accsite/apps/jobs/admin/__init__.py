"""What administrators see of jobs, workers and doorbells."""

from accsite.apps.jobs.admin import jobs, outbox, workers

__all__ = ["jobs", "outbox", "workers"]

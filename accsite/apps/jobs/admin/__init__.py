"""What administrators see of workers and doorbells."""

from accsite.apps.jobs.admin import outbox, workers

__all__ = ["outbox", "workers"]

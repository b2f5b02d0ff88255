"""Runs of loops that are not ACC's own: what the site has of the journal of each."""

from __future__ import annotations

from django.db import models

from accsite.apps.jobs.models import Job


class TrackedRun(models.Model):
    """How far a run's journal (``acc.journal``) has come in; its job has what is in it.

    A record is known by its number and its digest, so that one which is sent again changes nothing.
    """

    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="tracked")
    name = models.CharField(max_length=64, help_text="what the loop calls it")
    beginning = models.CharField(max_length=64, unique=True, help_text="digest of its first record, in hex")
    taken = models.PositiveBigIntegerField(default=1, help_text="records that have come in")
    digest = models.CharField(max_length=64, help_text="of the last of them, in hex")
    series = models.JSONField(default=list, help_text="names, in the order in which they first came")
    weights = models.JSONField(
        default=list, help_text="sha256 of files that came in and have no checkpoint yet"
    )

    class Meta:
        ordering = ["-job"]

    def __str__(self) -> str:
        return f"{self.name} of job {self.job_id}"

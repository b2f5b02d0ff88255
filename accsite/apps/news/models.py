"""Up to where each user has read the news. What the news are is in the rows of jobs and plugins, and nowhere else."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Seen(models.Model):
    """What one user has seen: every event of a job up to ``event``, and every broken plugin up to ``at``."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="news_seen"
    )
    event = models.PositiveBigIntegerField(
        default=0, help_text="id of the newest event of a job that was seen"
    )
    at = models.DateTimeField(help_text="when")

    class Meta:
        verbose_name_plural = "seen"

    def __str__(self) -> str:
        return f"{self.user} has seen up to event {self.event}"


class FirstRun(models.Model):
    """How far a newcomer is with what no other row tells: what they looked at, and whether they want no more hints."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="first_run"
    )
    looked_at = models.DateTimeField(null=True)
    compared_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True, help_text="all was done, or it was dismissed")

    def __str__(self) -> str:
        return f"first run of {self.user}"

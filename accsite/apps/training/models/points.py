"""Loss points at rest: one row holds a block of consecutive steps of all series of a job."""

from __future__ import annotations

from django.db import models

from accsite.apps.training.models.jobs import Job


class LossBlock(models.Model):
    """Steps ``start .. start+count-1``: float32 LE values, one series after another, with each series' min and max.

    (job, step, series, value) points are read through ``selectors.loss_history``. See ADR 'Loss points in blocks'.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="loss_blocks")
    attempt = models.PositiveIntegerField()
    seq = models.PositiveBigIntegerField(help_text="order of writing within the job; a gap tells a browser it missed one")
    start = models.PositiveBigIntegerField()
    count = models.PositiveIntegerField()
    series = models.JSONField()
    values = models.BinaryField()
    minima = models.BinaryField(help_text="float32 LE, one per series, NaN ignored")
    maxima = models.BinaryField(help_text="float32 LE, one per series, NaN ignored")
    wall_start = models.FloatField(help_text="seconds since the epoch")
    wall_end = models.FloatField(help_text="seconds since the epoch")

    class Meta:
        ordering = ["job", "start"]
        constraints = [models.UniqueConstraint(fields=["job", "start"], name="one_block_per_start")]

    def __str__(self) -> str:
        return f"job {self.job_id} steps {self.start}-{self.start + self.count - 1}"

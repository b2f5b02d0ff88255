"""Loss points at rest: one row holds a block of consecutive steps of all series of a job."""

from __future__ import annotations

from django.db import models

from accsite.apps.jobs.models import Job


class LossBlock(models.Model):
    """Steps ``start .. start+count-1``: float32 LE values, series after series, and a summary of each.

    (job, step, series, value) points are read through ``selectors.loss_history``. See ADR 'Loss points in
    blocks'. The summaries let an envelope of a long run be drawn without reading the values of a block that
    lies within one bucket of it. NaN stands for 'no value at this step' and is left out of every summary.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="loss_blocks")
    attempt = models.PositiveIntegerField()
    seq = models.PositiveBigIntegerField(
        help_text="order of writing within the job; a gap tells a browser it missed one"
    )
    start = models.PositiveBigIntegerField()
    count = models.PositiveIntegerField()
    series = models.JSONField()
    minima = models.BinaryField(help_text="float32 LE, one per series; NaN where a series has no value")
    maxima = models.BinaryField(help_text="float32 LE, one per series; NaN where a series has no value")
    sums = models.BinaryField(help_text="float64 LE, one per series")
    counts = models.BinaryField(help_text="uint32 LE, one per series: how many steps have a value")
    clock = models.BinaryField(
        help_text="float64 LE pairs (step, seconds since the epoch); linear in between"
    )
    # Last, since SQLite walks through all that lies before a column to read it.
    values = models.BinaryField(help_text="float32 LE, one series after another")

    class Meta:
        ordering = ["job", "start"]
        constraints = [models.UniqueConstraint(fields=["job", "start"], name="one_block_per_start")]

    def __str__(self) -> str:
        return f"job {self.job_id} steps {self.start}-{self.start + self.count - 1}"

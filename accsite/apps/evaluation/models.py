"""What was measured of a checkpoint: numbers and pictures."""

from __future__ import annotations

from django.db import models

from accsite.apps.training.models import Branch, Checkpoint, Job


class Evaluation(models.Model):
    """One run of an evaluation suite on one checkpoint."""

    job = models.OneToOneField(Job, null=True, on_delete=models.SET_NULL, related_name="evaluation")
    branch = models.ForeignKey(Branch, on_delete=models.CASCADE, related_name="evaluations")
    checkpoint = models.ForeignKey(
        Checkpoint, null=True, on_delete=models.SET_NULL, related_name="evaluations"
    )
    step = models.PositiveBigIntegerField()
    suite = models.JSONField(default=list)
    seconds = models.FloatField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"evaluation of {self.branch} at step {self.step}"


class Metric(models.Model):
    """One number: a task's metric on the held-out part of its dataset."""

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="metrics")
    task_key = models.CharField(max_length=64, blank=True)
    name = models.CharField(max_length=64)
    value = models.FloatField(null=True, help_text="null where it is not defined; the reason says why")
    reason = models.CharField(max_length=255, blank=True)
    higher_is_better = models.BooleanField(default=True)
    baseline = models.FloatField(null=True, help_text="the same of the best predictor that looks at no image")

    class Meta:
        ordering = ["task_key", "name"]
        constraints = [
            models.UniqueConstraint(
                fields=["evaluation", "task_key", "name"], name="one_value_per_task_and_metric"
            )
        ]

    def __str__(self) -> str:
        return f"{self.task_key} {self.name} {self.value}"


class Artifact(models.Model):
    """One picture or file: a sprite of reconstructions, say."""

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="artifacts")
    kind = models.CharField(max_length=32)
    name = models.CharField(max_length=120)
    file = models.CharField(max_length=255, help_text="name in the default storage")
    sha256 = models.CharField(max_length=64)
    media_type = models.CharField(max_length=64, default="image/png")
    meta = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

"""Runs as rows of one table: what a training was, what it came to and what it cost, column by column.

A kept copy of what lies in jobs, losses and evaluations, so that any column sorts and filters quickly; ``services``
alone writes it. See ADR 'One table over all runs'.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models

from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Branch, Experiment
from accsite.fields import CleanCharField


class RunQuerySet(models.QuerySet["Run"]):
    def visible_to(self, user: Any) -> RunQuerySet:
        """Return the runs of the experiments that ``user`` may see."""
        return self.filter(experiment__in=Experiment.objects.visible_to(user))


class Run(models.Model):
    """One training job, of ACC or of a loop of one's own, with what every run has.

    Of a run that has not ended, ``step`` and ``seconds`` are as of ``kept_at``.
    """

    job = models.OneToOneField(Job, primary_key=True, on_delete=models.CASCADE, related_name="run")
    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="runs")
    branch = models.ForeignKey(Branch, on_delete=models.CASCADE, related_name="runs")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    kind = models.CharField(max_length=16)
    state = models.CharField(max_length=16)
    step = models.PositiveBigIntegerField(default=0)
    total_steps = models.PositiveBigIntegerField(default=0)
    seconds = models.FloatField(null=True, help_text="from its first start to its end")
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    kept_at = models.DateTimeField()

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-job"]
        indexes = [models.Index(fields=["state", "job"])]

    def __str__(self) -> str:
        return f"run {self.pk}"


class Column(models.Model):
    """A name under which runs have values, such as ``train/lr`` or ``loss/digit``."""

    name = CleanCharField(max_length=200, unique=True)
    is_number = models.BooleanField(default=False, help_text="whether any run has a number under it")
    experiments = models.ManyToManyField(
        Experiment, related_name="+", help_text="whose runs have it: who sees none of them is not told of it"
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return str(self.name)


class Value(models.Model):
    """What one run has in one column: a number, or a text."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="values")
    column = models.ForeignKey(Column, on_delete=models.CASCADE, related_name="values")
    number = models.FloatField(null=True, help_text="null for a text, and for what is no finite number")
    text = CleanCharField(max_length=200, blank=True, help_text="empty for a number")

    class Meta:
        ordering = ["run", "column"]
        constraints = [models.UniqueConstraint(fields=["run", "column"], name="one_value_per_run_and_column")]
        indexes = [
            models.Index(fields=["column", "number", "run"]),
            models.Index(fields=["column", "text", "run"]),
        ]

    def __str__(self) -> str:
        return f"{self.column_id} of {self.run_id}"


class SavedView(models.Model):
    """A way of looking at the table that somebody kept: filter, order, columns and groups, as its address has them."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="views_of_runs"
    )
    name = CleanCharField(max_length=80)
    query = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="one_view_per_name")]

    def __str__(self) -> str:
        return str(self.name)

"""Runs of recipes, and what each verb of them came to."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Cast

from accsite.apps.access.permissions import is_administrator
from accsite.apps.jobs.models import PRIVATE_KINDS, Job, JobKind
from accsite.apps.jobs.states import ACTIVE, JobState
from accsite.apps.registry.models import PluginSource
from accsite.apps.training.models.experiments import Branch, Checkpoint, Experiment
from accsite.fields import CleanCharField, CleanJSONField, CleanTextField

TOUCH_NOTHING = ("phase", "parallel", "seed", "log", "load_dataset", "create_dataset")
"""Verbs that have no experiment; any other that succeeded and has none worked on one that was removed since."""


class RecipeRunQuerySet(models.QuerySet["RecipeRun"]):
    def visible_to(self, user: Any) -> RecipeRunQuerySet:
        """Return the runs that ``user`` may see: nobody sees one that has touched an experiment hidden from them.

        Neither do they see one a part of which has, such as a study that a recipe made.
        One that has touched nothing yet, or an experiment that was removed since, is its maker's and administrators'.
        """
        if not user.is_authenticated:
            return self.none()
        if is_administrator(user):
            return self
        touching = RecipeStep.objects.filter(experiment__isnull=False)
        hidden = touching.exclude(experiment__in=Experiment.objects.visible_to(user))
        removed = RecipeStep.objects.filter(state=RecipeStep.State.SUCCEEDED, experiment=None).exclude(
            verb__in=TOUCH_NOTHING
        )
        shown = Q(pk__in=touching.values("run")) & ~Q(pk__in=removed.values("run"))
        return self.filter(Q(created_by=user) | shown).exclude(
            Q(pk__in=hidden.values("run"))
            | Q(pk__in=hidden.filter(run__within__isnull=False).values("run__within__run"))
        )

    def alone(self) -> RecipeRunQuerySet:
        """Return those that are not just a part of another run."""
        return self.exclude(within__isnull=False, job=None)


class RecipeRun(models.Model):
    """One run of a recipe, from its first start to its end, over as many jobs as that takes.

    It keeps the source that it began with. ``job`` is the newest: a run that was stopped or failed goes on in
    another job, which finds what was done in ``steps``.
    """

    recipe = models.CharField(max_length=120, help_text="class name")
    label = models.CharField(max_length=120)
    source = models.ForeignKey(
        PluginSource,
        null=True,
        on_delete=models.PROTECT,
        related_name="recipe_runs",
        help_text="null: a program of ACC's own, such as that of a study",
    )
    params = models.JSONField(default=dict)
    seed = models.PositiveBigIntegerField(default=0)
    job = models.OneToOneField(Job, null=True, on_delete=models.SET_NULL, related_name="recipe_run")
    within = models.ForeignKey(
        "RecipeStep",
        null=True,
        on_delete=models.SET_NULL,
        related_name="inner",
        help_text="the call of another run that does this one; null: it has a job of its own",
    )
    plan = CleanJSONField(default=dict, help_text="what a rehearsal foresaw: phases, verbs, train steps")
    result = CleanJSONField(null=True, help_text="what the recipe returned")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RecipeRunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.label} {self.pk}"

    @property
    def done_by(self) -> Job | None:
        """The job that does it: its own, or while it is part of another run that one's."""
        if self.job is None and self.within is not None and self.within.state != RecipeStep.State.SUCCEEDED:
            return self.within.run.job
        return self.job

    @property
    def is_active(self) -> bool:
        job = self.done_by
        return job is not None and job.state in ACTIVE

    @property
    def can_resume(self) -> bool:
        """Whether it ended before its time."""
        return self.job is not None and self.job.state in {JobState.FAILED, JobState.CANCELLED}


class RecipeStep(models.Model):
    """One call of a verb: done once, whatever happens to the worker. Its place in the program is ``path``.

    ``path``: ``3`` for the third call, ``3.2.1`` for the first of the second callable of a ``parallel`` that was
    the third. A step that is SUCCEEDED answers a replay from ``result``; one that is RUNNING has a ``job``.
    """

    class State(models.TextChoices):
        RUNNING = "RUNNING", "running"
        SUCCEEDED = "SUCCEEDED", "done"
        FAILED = "FAILED", "failed"
        CANCELLED = "CANCELLED", "stopped"

    run = models.ForeignKey(RecipeRun, on_delete=models.CASCADE, related_name="steps")
    path = models.CharField(max_length=120)
    verb = models.CharField(max_length=32)
    args = CleanJSONField(default=dict, help_text="as called; a replay must call it the same")
    phase = CleanCharField(max_length=120, blank=True)
    line = models.PositiveIntegerField(null=True, help_text="of the recipe's source")
    state = models.CharField(max_length=16, choices=State, default=State.RUNNING)
    tries = models.PositiveSmallIntegerField(default=1, help_text="jobs that were made for it")
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="recipe_steps")
    owns_job = models.BooleanField(default=False, help_text="made for this step, and stopped with it")
    experiment = models.ForeignKey(
        Experiment,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="also of a step that touched a branch or a checkpoint: it says who may see the run",
    )
    branch = models.ForeignKey(Branch, null=True, on_delete=models.SET_NULL, related_name="+")
    checkpoint = models.ForeignKey(Checkpoint, null=True, on_delete=models.SET_NULL, related_name="+")
    result = CleanJSONField(null=True)
    message = CleanTextField(blank=True)
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["run", "path"], name="one_step_per_path")]

    def __str__(self) -> str:
        return f"{self.path} {self.verb}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row, with the experiment of what it touched: it says whose the run is when that is gone."""
        if self.experiment_id is None and (about := self.branch or self.checkpoint) is not None:
            self.experiment_id = about.experiment_id
        super().save(*args, **kwargs)


def _of_visible_runs(user: Any) -> Q:
    """Return which jobs of recipes a user may see: those of the runs that they may see.

    A run that was resumed has had several jobs, and points to the newest alone.
    """
    number = Cast(OuterRef("spec__run"), models.BigIntegerField())
    return Q(Exists(RecipeRun.objects.visible_to(user).filter(pk=number)))


PRIVATE_KINDS[JobKind.RECIPE] = _of_visible_runs

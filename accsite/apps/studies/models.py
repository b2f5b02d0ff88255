"""Studies: a plan, and what came of each arm with each seed."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from acc.studies import Study as Plan
from acc.studies.results import Measured, Result
from acc.studies.sweep import Sweep
from accsite.apps.access.permissions import is_administrator
from accsite.apps.jobs.models import Job
from accsite.apps.recipes.models import RecipeRun
from accsite.apps.training.models import Branch, Checkpoint, Experiment, Visibility
from accsite.fields import CleanJSONField, CleanTextField

PROGRAM = "Study"
"""What a run of a recipe is called whose program does a study."""


class StudyQuerySet(models.QuerySet["Study"]):
    def visible_to(self, user: Any) -> StudyQuerySet:
        """Return the studies that ``user`` may see: of the site, their own, and of experiments that they may see."""
        if not user.is_authenticated:
            return self.none()
        if is_administrator(user):
            return self
        seen = Experiment.objects.visible_to(user)
        return self.filter(Q(visibility=Visibility.SITE) | Q(owner=user) | Q(experiment__in=seen))


class Study(models.Model):
    """A question that is written down before it is answered, and the run of the program that does it."""

    name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=80, unique=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    visibility = models.CharField(max_length=16, choices=Visibility, default=Visibility.SITE)
    experiment = models.ForeignKey(
        Experiment,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="of the arms, if they are of one: who sees it sees the study; its owner does in any case",
    )
    sources = models.ManyToManyField(
        Experiment,
        related_name="+",
        help_text="of all arms: everyone may see the study once they see each of these",
    )
    plan = models.JSONField(help_text="acc.studies.Study")
    sha256 = models.CharField(max_length=64, help_text="of all in the plan that could change an answer")
    branch = models.ForeignKey(
        Branch,
        null=True,
        on_delete=models.SET_NULL,
        related_name="studies",
        help_text="what the first arm repeats",
    )
    run = models.OneToOneField(
        RecipeRun,
        null=True,
        on_delete=models.SET_NULL,
        related_name="study",
        help_text="null: not started yet",
    )
    held = models.BooleanField(default=False, help_text="stopped: nothing more is begun")
    sweep = models.JSONField(
        null=True, help_text="acc.studies.sweep.Sweep, of a study whose arms are drawn; null: they are not"
    )
    importance = models.JSONField(
        null=True, help_text="of a sweep: parameter -> share, and of how many trials; null: of too few yet"
    )
    confirms = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.SET_NULL,
        related_name="confirmations",
        help_text="the sweep whose winner this study confirms on fresh seeds",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = StudyQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "studies"

    def __str__(self) -> str:
        return self.name

    @property
    def planned(self) -> Plan:
        """Its plan."""
        return Plan.model_validate(self.plan)

    @property
    def swept(self) -> Sweep:
        """What a sweep was asked, and what it drew; of other studies there is none."""
        return Sweep.model_validate(self.sweep)

    @property
    def is_sweep(self) -> bool:
        return self.sweep is not None

    @property
    def is_at_work(self) -> bool:
        return self.run is not None and self.run.is_active


class StudyResult(models.Model):
    """One arm with one seed: a branch, and what was measured of it.

    ``number`` is its place in the program, by which a replay finds it; arms and seeds that are added come behind.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        SUCCEEDED = "succeeded", "done"
        FAILED = "failed"

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="results")
    number = models.PositiveIntegerField()
    arm = models.CharField(max_length=80)
    seed = models.PositiveBigIntegerField()
    state = models.CharField(max_length=16, choices=State, default=State.WAITING)
    values = CleanJSONField(default=dict, help_text="outcome -> acc.studies.Measured")
    branch = models.ForeignKey(Branch, null=True, on_delete=models.SET_NULL, related_name="+")
    job = models.ForeignKey(
        Job, null=True, on_delete=models.SET_NULL, related_name="+", help_text="that trained it"
    )
    checkpoint = models.ForeignKey(
        Checkpoint, null=True, on_delete=models.SET_NULL, related_name="+", help_text="that was measured"
    )
    seconds = models.FloatField(null=True, help_text="of training and measuring")
    images = models.PositiveBigIntegerField(null=True, help_text="that it was trained on")
    settings = models.CharField(max_length=64, blank=True, help_text="hash of what it ran, the seed left out")
    facts = CleanJSONField(
        default=dict, help_text="what should be the same all over a study: device, version"
    )
    message = CleanTextField(blank=True, help_text="why it failed")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["study", "number"], name="one_result_of_a_number"),
            models.UniqueConstraint(fields=["study", "arm", "seed"], name="one_result_of_arm_and_seed"),
        ]

    def __str__(self) -> str:
        return f"{self.arm}, seed {self.seed}"

    @property
    def result(self) -> Result:
        """It as it is judged."""
        return Result(
            arm=self.arm,
            seed=self.seed,
            status=self.state,
            reason=self.message,
            values={name: Measured.model_validate(value) for name, value in self.values.items()},
            seconds=self.seconds,
            images=self.images,
            settings=self.settings,
            facts=self.facts,
        )

"""The tree: experiments, branches, tasks and checkpoints."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from accsite.apps.access.permissions import is_administrator, may_write
from accsite.apps.datasets.models import Dataset
from accsite.fields import CleanJSONField


class Visibility(models.TextChoices):
    SITE = "site", "everyone on this site"
    PRIVATE = "private", "its owner, and those it is shared with"


class ShareLevel(models.TextChoices):
    VIEW = "view", "may look at it"
    CHANGE = "change", "may train, fork and label in it"


class ExperimentQuerySet(models.QuerySet["Experiment"]):
    def visible_to(self, user: Any) -> ExperimentQuerySet:
        """Return the experiments that ``user`` may see."""
        if not user.is_authenticated:
            return self.none()
        if is_administrator(user):
            return self
        shared = ExperimentShare.objects.filter(user=user)
        return self.filter(
            Q(visibility=Visibility.SITE) | Q(owner=user) | Q(pk__in=shared.values("experiment"))
        )

    def changeable_by(self, user: Any) -> ExperimentQuerySet:
        """Return the experiments that ``user`` may train, fork and label in."""
        if is_administrator(user):
            return self
        if not may_write(user):
            return self.none()
        shared = ExperimentShare.objects.filter(user=user, level=ShareLevel.CHANGE)
        return self.filter(
            Q(visibility=Visibility.SITE) | Q(owner=user) | Q(pk__in=shared.values("experiment"))
        )


class Experiment(models.Model):
    """One model architecture and everything grown from it."""

    name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=80, unique=True)
    model_spec = models.JSONField(help_text="acc.specs.ModelSpec")
    method = CleanJSONField(
        default=dict,
        blank=True,
        help_text="the method that it began with: name, params, sha256, paper, train; empty: none",
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    visibility = models.CharField(max_length=16, choices=Visibility, default=Visibility.SITE)
    retention = models.JSONField(
        default=dict, blank=True, help_text="last, best, metric: what pruning keeps; empty: the site's policy"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ExperimentQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ExperimentShare(models.Model):
    """A named user who may see a private experiment, or change it."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="shares")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="experiment_shares"
    )
    level = models.CharField(max_length=16, choices=ShareLevel, default=ShareLevel.VIEW)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["user__username"]
        constraints = [models.UniqueConstraint(fields=["experiment", "user"], name="one_share_per_user")]

    def __str__(self) -> str:
        return f"{self.experiment} shared with {self.user}"


class CheckpointKind(models.TextChoices):
    AUTOSAVE = "autosave", "made while training, replaced by the next"
    FINAL = "final", "the end of a job"
    STOPPED = "stopped", "where a job was stopped"
    MANUAL = "manual", "asked for"
    EXPANDED = "expanded", "its parent, grown"
    IMPORTED = "imported", "from another installation"


class LiveCheckpoints(models.Manager["Checkpoint"]):
    """All checkpoints but those that were deleted and may still be restored."""

    def get_queryset(self) -> models.QuerySet[Checkpoint]:
        return super().get_queryset().filter(deleted_at=None)


class Checkpoint(models.Model):
    """An immutable node of an experiment's tree: a safetensors file and the specification that made it.

    ``objects`` are the nodes of the trees; ``everything`` also has those that were deleted and wait for an undo.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="checkpoints")
    branch = models.ForeignKey("training.Branch", on_delete=models.PROTECT, related_name="checkpoints")
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="children"
    )
    job = models.ForeignKey("jobs.Job", null=True, on_delete=models.SET_NULL, related_name="checkpoints")
    kind = models.CharField(max_length=16, choices=CheckpointKind)
    step = models.PositiveBigIntegerField(help_text="updates since the root of the tree")
    job_step = models.PositiveBigIntegerField(help_text="updates since the start of its job")
    file = models.CharField(max_length=255, help_text="name in the default storage")
    sha256 = models.CharField(max_length=64)
    size_bytes = models.PositiveBigIntegerField()
    losses = CleanJSONField(default=dict, help_text="last value of each series")
    tag = models.CharField(max_length=80, blank=True)
    note = models.TextField(blank=True)
    starred = models.BooleanField(default=False)
    weights_pruned_at = models.DateTimeField(
        null=True, blank=True, help_text="when its file made room; the node stays in the tree"
    )
    deleted_at = models.DateTimeField(null=True, blank=True)
    deletion = models.UUIDField(
        null=True, blank=True, db_index=True, help_text="what was deleted together is restored together"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    # Last in the row: whoever reads the columns of a large tree need not skip it.
    spec = models.JSONField(help_text="acc.specs.TrainJobSpec that made it")

    objects = LiveCheckpoints()
    everything = models.Manager["Checkpoint"]()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["experiment", "tag"], condition=~Q(tag=""), name="one_checkpoint_per_tag"
            )
        ]

    def __str__(self) -> str:
        return self.tag or f"{self.branch} step {self.step:,}"


class AutoEvaluate(models.TextChoices):
    OFF = "off", "only when asked"
    END = "end", "at the end of each training job"
    STEPS = "steps", "at the end, and every so many steps"


class Branch(models.Model):
    """A named line of work: a head checkpoint, a list of tasks, and the jobs run on it."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="branches")
    name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=80)
    head = models.ForeignKey(
        Checkpoint,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="head_of",
        help_text="null: the model as its seed makes it",
    )
    forked_from = models.ForeignKey(
        Checkpoint, null=True, blank=True, on_delete=models.PROTECT, related_name="forks"
    )
    auto_evaluate = models.CharField(max_length=8, choices=AutoEvaluate, default=AutoEvaluate.END)
    evaluate_every = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="steps between measurements while training (auto_evaluate: steps)"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "branches"
        constraints = [models.UniqueConstraint(fields=["experiment", "slug"], name="one_branch_per_slug")]

    def __str__(self) -> str:
        return f"{self.experiment.slug}/{self.slug}"


class Task(models.Model):
    """A weighted loss on one dataset, attached to a branch.

    ``key`` names its head in checkpoints and its series among the loss points, and never changes.
    """

    branch = models.ForeignKey(Branch, on_delete=models.CASCADE, related_name="tasks")
    key = models.SlugField(max_length=64)
    name = models.CharField(max_length=80)
    task_class = models.CharField(max_length=120)
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="tasks")
    weight = models.FloatField(default=1.0)
    enabled = models.BooleanField(default=True)
    latent_start = models.PositiveIntegerField(null=True, blank=True)
    latent_end = models.PositiveIntegerField(null=True, blank=True)
    factor = models.CharField(max_length=64, blank=True)
    params = models.JSONField(default=dict, blank=True)
    position = models.PositiveIntegerField(default=0)
    colour_slot = models.PositiveSmallIntegerField(
        default=0, help_text="kept for ever, so a curve keeps its colour"
    )
    removed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["branch", "key"], name="one_task_per_key")]

    def __str__(self) -> str:
        return self.name

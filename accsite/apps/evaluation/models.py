"""What was measured of a checkpoint: numbers and pictures, and from where on a number is good."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Branch, Checkpoint
from accsite.fields import CleanCharField, CleanJSONField, CleanTextField

HELD_OUT = "held_out"
"""The rows that are measured on unless others are asked for: ``acc.specs.EvalSpec.rows``."""


class Evaluation(models.Model):
    """One run of an evaluation suite on one checkpoint."""

    job = models.OneToOneField(Job, null=True, on_delete=models.SET_NULL, related_name="evaluation")
    branch = models.ForeignKey(Branch, on_delete=models.CASCADE, related_name="evaluations")
    checkpoint = models.ForeignKey(
        Checkpoint, null=True, on_delete=models.SET_NULL, related_name="evaluations"
    )
    step = models.PositiveBigIntegerField()
    suite = models.JSONField(default=list)
    options = models.JSONField(default=dict, help_text="acc.specs.EvalSpec")
    dataset = models.CharField(
        max_length=64, blank=True, help_text="what traversals and all that follow looked at"
    )
    seconds = models.FloatField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"evaluation of {self.branch} at step {self.step:,}"


def asked_on(rows: str) -> Q:
    """Return what holds of the parts and numbers of an evaluation of these rows (``EvalSpec.rows``)."""
    asked = Q(evaluation__options__rows=rows)
    if rows == HELD_OUT:
        asked |= Q(evaluation__options__rows__isnull=True)  # measured before there was a choice
    return asked


class Part(models.Model):
    """One part of a suite as it was measured: metrics, traversals, and so on."""

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="parts")
    name = models.CharField(max_length=32)
    key = models.CharField(
        max_length=64, db_index=True, help_text="hash of all that its result depends on; services.keys"
    )
    reason = CleanTextField(blank=True, help_text="why there is nothing")
    reasons = CleanJSONField(default=dict, help_text="place -> why there is nothing of it")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["evaluation", "name"], name="one_part_of_a_name")]

    def __str__(self) -> str:
        return f"{self.name} of {self.evaluation_id}"


class MetricQuerySet(models.QuerySet["Metric"]):
    def on(self, rows: str = HELD_OUT) -> MetricQuerySet:
        """Return the numbers that were asked for on these rows of what was trained on (``EvalSpec.rows``).

        Those of other rows are another thing: on rows that were trained on, a representation looks better than it is.
        """
        return self.filter(asked_on(rows))


class Metric(models.Model):
    """One number: of a task on the held-out part of its dataset, or (no task) of a whole representation.

    ``low`` and ``high`` bound its 95 % interval; ``chance`` is what unrelated labels give.
    """

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="metrics")
    task_key = models.CharField(max_length=64, blank=True)
    name = CleanCharField(max_length=64)
    concept = CleanCharField(max_length=64, blank=True)
    group = CleanCharField(max_length=64, blank=True)
    dataset = models.CharField(max_length=64, blank=True)
    value = models.FloatField(null=True, help_text="null where it is not defined; the reason says why")
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    chance = models.FloatField(null=True)
    without = models.JSONField(default=list, help_text="the value without each group of the jackknife")
    sample = models.CharField(
        max_length=64,
        blank=True,
        help_text="hash of the images, in what order, and what was asked of them; the same may be compared pairwise",
    )
    reason = CleanCharField(max_length=255, blank=True)
    higher_is_better = models.BooleanField(default=True, null=True, help_text="null: neither is good")
    baseline = models.FloatField(null=True, help_text="the same of the best predictor that looks at no image")
    moderate = models.FloatField(null=True, help_text="from where on the task's class calls it moderate")
    good = models.FloatField(null=True, help_text="from where on the task's class calls it good")

    objects = MetricQuerySet.as_manager()

    class Meta:
        ordering = ["task_key", "name", "concept", "group"]
        constraints = [
            models.UniqueConstraint(
                fields=["evaluation", "task_key", "name", "concept", "group"],
                name="one_value_per_task_and_metric",
            )
        ]

    def __str__(self) -> str:
        return f"{self.words} {self.value}"

    @property
    def called(self) -> str:
        """How recipes and studies call it: ``task/name``, or ``name`` with the concept and group that it is of."""
        where = (self.task_key, self.name) if self.task_key else (self.name, self.concept, self.group)
        return "/".join(part for part in where if part)

    @property
    def words(self) -> str:
        """What the number is of, such as ``accuracy of task digit on digits``."""
        if self.task_key:
            of = f"task {self.task_key}"
        elif self.concept:
            of = f"{self.concept} in {f'group {self.group}' if self.group else 'no group'}"
        else:
            of = f"group {self.group}" if self.group else "the whole latent"
        return f"{self.name} of {of}" + (f" on {self.dataset}" if self.dataset else "")

    @property
    def kind_of_sample(self) -> str:
        """What its images and options were: numbers may be drawn as one trend only where this is the same."""
        if self.sample:
            return self.sample
        options = self.evaluation.options  # measured before samples had names
        asked = [options.get(name) for name in ("rows", "concepts", "own", "match", "seed")]
        return f"{self.dataset} {'' if self.task_key else asked}"


class Artifact(models.Model):
    """One picture or file: a sprite of reconstructions, say."""

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="artifacts")
    kind = models.CharField(max_length=32)
    name = CleanCharField(max_length=120)
    file = models.CharField(max_length=255, help_text="name in the default storage")
    sha256 = models.CharField(max_length=64)
    media_type = models.CharField(max_length=64, default="image/png")
    meta = CleanJSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Threshold(models.Model):
    """From where on a metric is moderate and good: a user's word, for a branch or (no branch) for the site."""

    branch = models.ForeignKey(Branch, null=True, on_delete=models.CASCADE, related_name="thresholds")
    task_key = models.CharField(max_length=64, blank=True)
    name = models.CharField(max_length=64)
    moderate = models.FloatField()
    good = models.FloatField()

    class Meta:
        ordering = ["task_key", "name"]
        constraints = [
            models.UniqueConstraint(fields=["branch", "task_key", "name"], name="one_threshold_of_a_branch"),
            models.UniqueConstraint(
                fields=["task_key", "name"], condition=Q(branch=None), name="one_threshold_of_the_site"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task_key} {self.name}: {self.moderate:g}, {self.good:g}"

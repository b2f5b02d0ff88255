"""Evaluations as JSON."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.reverse import reverse

from accsite.apps.evaluation.models import Artifact, Evaluation, Metric, Part
from accsite.apps.evaluation.selectors import METRIC_COLUMNS


class MetricSerializer(serializers.ModelSerializer[Metric]):
    """One number with its 95 % interval and what chance gives, or the reason why there is none."""

    class Meta:
        model = Metric
        fields = (
            *METRIC_COLUMNS,
            "reason",
            "higher_is_better",
            "baseline",
            "moderate",
            "good",
        )


class PartSerializer(serializers.ModelSerializer[Part]):
    """A part of the suite, and why it has nothing: as a whole, or at some places."""

    class Meta:
        model = Part
        fields = ("name", "reason", "reasons")


class ArtifactSerializer(serializers.ModelSerializer[Artifact]):
    """One picture or JSON file; ``url`` gives its bytes."""

    url = serializers.SerializerMethodField()

    class Meta:
        model = Artifact
        fields = ("id", "kind", "name", "sha256", "media_type", "meta", "url")

    def get_url(self, artifact: Artifact) -> str:
        where = [artifact.evaluation_id, artifact.pk]
        return str(reverse("api:evaluation-artifact", args=where, request=self.context.get("request")))


class EvaluationSerializer(serializers.ModelSerializer[Evaluation]):
    """One run of an evaluation suite, with its numbers and pictures."""

    parts = PartSerializer(many=True, read_only=True)
    metrics = MetricSerializer(many=True, read_only=True)
    artifacts = ArtifactSerializer(many=True, read_only=True)

    class Meta:
        model = Evaluation
        fields = (
            "id",
            "job",
            "branch",
            "checkpoint",
            "step",
            "suite",
            "options",
            "dataset",
            "seconds",
            "created_at",
            "parts",
            "metrics",
            "artifacts",
        )

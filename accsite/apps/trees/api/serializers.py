"""Rows as JSON."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from acc.specs import ModelSpec
from accsite.apps.training.api.serializers import BranchSerializer
from accsite.apps.training.models import Checkpoint, Experiment


class ExperimentSerializer(serializers.ModelSerializer[Experiment]):
    """An experiment with its branches."""

    owner = serializers.SlugRelatedField[Any](slug_field="username", read_only=True, allow_null=True)
    model = serializers.SerializerMethodField()
    method = serializers.DictField(
        read_only=True, help_text="the method that it began with: name, params, sha256, paper, train"
    )
    branches = BranchSerializer(many=True, read_only=True)

    class Meta:
        model = Experiment
        fields = (
            "id",
            "name",
            "slug",
            "owner",
            "visibility",
            "model",
            "method",
            "retention",
            "branches",
            "created_at",
        )

    @extend_schema_field(ModelSpec)  # type: ignore[arg-type]
    def get_model(self, experiment: Experiment) -> dict[str, Any]:
        """Return the model's specification."""
        spec: dict[str, Any] = experiment.model_spec
        return spec


class CheckpointSerializer(serializers.ModelSerializer[Checkpoint]):
    """A checkpoint without its specification: trees of thousands stay small."""

    experiment = serializers.SlugRelatedField[Experiment](slug_field="slug", read_only=True)

    class Meta:
        model = Checkpoint
        fields: tuple[str, ...] = (
            "id",
            "experiment",
            "branch",
            "parent",
            "job",
            "kind",
            "step",
            "job_step",
            "sha256",
            "size_bytes",
            "losses",
            "tag",
            "note",
            "starred",
            "created_at",
        )

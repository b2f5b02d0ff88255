"""Rows as JSON."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from acc.specs import ModelSpec
from accsite.apps.training import selectors
from accsite.apps.training.models import Branch, Checkpoint, Experiment, Task


class BranchSerializer(serializers.ModelSerializer[Branch]):
    """A branch."""

    experiment = serializers.SlugRelatedField[Experiment](slug_field="slug", read_only=True)

    class Meta:
        model = Branch
        fields = (
            "id",
            "experiment",
            "name",
            "slug",
            "head",
            "forked_from",
            "auto_evaluate",
            "evaluate_every",
            "created_at",
        )


class ExperimentSerializer(serializers.ModelSerializer[Experiment]):
    """An experiment with its branches."""

    owner = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)
    model = serializers.SerializerMethodField()
    branches = BranchSerializer(many=True, read_only=True)

    class Meta:
        model = Experiment
        fields = ("id", "name", "slug", "owner", "visibility", "model", "retention", "branches", "created_at")

    @extend_schema_field(ModelSpec)  # type: ignore[arg-type]
    def get_model(self, experiment: Experiment) -> dict[str, Any]:
        spec: dict[str, Any] = experiment.model_spec
        return spec


class TaskSerializer(serializers.ModelSerializer[Task]):
    """A task of a branch."""

    dataset = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    latent_slice = serializers.SerializerMethodField()
    source_removed = serializers.SerializerMethodField()

    class Meta:
        model = Task
        fields = (
            "id",
            "branch",
            "key",
            "name",
            "task_class",
            "source_removed",
            "dataset",
            "weight",
            "enabled",
            "latent_slice",
            "factor",
            "params",
            "position",
            "colour_slot",
            "removed_at",
            "created_at",
        )

    def get_latent_slice(self, task: Task) -> list[int] | None:
        """Return [start, end), or null when the whole latent or a factor is read."""
        if task.latent_start is None or task.latent_end is None:
            return None
        return [task.latent_start, task.latent_end]

    def get_source_removed(self, task: Task) -> bool:
        """Return whether its class is gone from the plugins; it is trained on from the source that was kept."""
        return selectors.source_removed(task)


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

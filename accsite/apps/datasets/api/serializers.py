"""What the API shows of datasets."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accsite.apps.datasets.models import Dataset


class TargetSerializer(serializers.Serializer[Any]):
    """One target column with its statistics."""

    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=["class", "real"])
    classes = serializers.IntegerField(
        required=False, allow_null=True, help_text="class: labels are 0..classes-1"
    )
    labels = serializers.ListField(child=serializers.CharField(), required=False, allow_null=True)
    counts = serializers.ListField(
        child=serializers.IntegerField(), required=False, help_text="class: images of each"
    )
    min = serializers.FloatField(required=False, allow_null=True)
    max = serializers.FloatField(required=False, allow_null=True)
    mean = serializers.FloatField(required=False, help_text="real")
    std = serializers.FloatField(required=False, help_text="real")
    unit = serializers.CharField(required=False)


class DatasetSerializer(serializers.ModelSerializer[Dataset]):
    """One immutable dataset."""

    targets = serializers.SerializerMethodField()
    created_by = serializers.CharField(
        source="created_by.username", default=None, allow_null=True, read_only=True
    )

    class Meta:
        model = Dataset
        fields = (
            "slug",
            "name",
            "n",
            "channels",
            "height",
            "width",
            "dtype",
            "targets",
            "provenance",
            "content_hash",
            "sha256",
            "size_bytes",
            "created_by",
            "created_at",
        )
        read_only_fields = fields

    @extend_schema_field(TargetSerializer(many=True))
    def get_targets(self, dataset: Dataset) -> list[dict[str, Any]]:
        """Return the target columns with their statistics."""
        return list(dataset.targets)


class TargetValuesSerializer(serializers.Serializer[Any]):
    """Target values of consecutive samples, column by column."""

    offset = serializers.IntegerField()
    n = serializers.IntegerField()
    total = serializers.IntegerField()
    columns = serializers.DictField(child=serializers.ListField(child=serializers.FloatField()))

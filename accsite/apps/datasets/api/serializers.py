"""What the API shows of datasets."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accsite.apps.datasets import selectors
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
    split = serializers.SerializerMethodField(
        help_text="part (training, validation, test) -> rows, of a split that came with the data; {}: it came with none"
    )
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
            "units",
            "split",
            "provenance",
            "content_hash",
            "sha256",
            "size_bytes",
            "created_by",
            "created_at",
            "removed_at",
        )
        read_only_fields = fields

    @extend_schema_field(TargetSerializer(many=True))
    def get_targets(self, dataset: Dataset) -> list[dict[str, Any]]:
        return list(dataset.targets)

    def get_split(self, dataset: Dataset) -> dict[str, int] | None:
        return selectors.split_of(dataset)


class TargetValuesSerializer(serializers.Serializer[Any]):
    """Target values of consecutive samples, column by column."""

    offset = serializers.IntegerField()
    n = serializers.IntegerField()
    total = serializers.IntegerField()
    columns = serializers.DictField(child=serializers.ListField(child=serializers.FloatField()))


class DatasetChangeSerializer(serializers.Serializer[Any]):
    """What may be changed of a dataset."""

    name = serializers.CharField()


class SamplesSerializer(serializers.Serializer[Any]):
    """A page of samples. ``values``: target -> one value for each of ``indices``; ``total``: of all that pass."""

    total = serializers.IntegerField()
    offset = serializers.IntegerField()
    indices = serializers.ListField(child=serializers.IntegerField())
    values = serializers.DictField(child=serializers.ListField(child=serializers.FloatField()))


class HistogramSerializer(serializers.Serializer[Any]):
    """Samples in each bin of a target; the counts add up to ``total``. ``selected``: those that pass the filters."""

    target = serializers.CharField()
    total = serializers.IntegerField()
    edges = serializers.ListField(child=serializers.FloatField())
    counts = serializers.ListField(child=serializers.IntegerField())
    selected = serializers.ListField(child=serializers.IntegerField(), allow_null=True)


class PairsSerializer(serializers.Serializer[Any]):
    """Samples in each bin of two targets together: ``counts[iy][ix]``."""

    x = serializers.CharField()
    y = serializers.CharField()
    x_edges = serializers.ListField(child=serializers.FloatField())
    y_edges = serializers.ListField(child=serializers.FloatField())
    counts = serializers.ListField(child=serializers.ListField(child=serializers.IntegerField()))


class StatisticsSerializer(serializers.Serializer[Any]):
    """Averages of the mean image and of the spread of each pixel, 0..1, over ``images`` evenly spaced images."""

    mean_value = serializers.FloatField()
    mean_spread = serializers.FloatField()
    images = serializers.IntegerField()


class SharedTargetSerializer(serializers.Serializer[Any]):
    """A target that two datasets share, counted in the same bins."""

    target = serializers.CharField()
    kind = serializers.ChoiceField(choices=["class", "real"])
    edges = serializers.ListField(child=serializers.FloatField())
    a = serializers.ListField(child=serializers.IntegerField())
    b = serializers.ListField(child=serializers.IntegerField())


class PixelComparisonSerializer(serializers.Serializer[Any]):
    """Pixel statistics of two datasets; ``mean_difference``: root mean square, of images of one shape."""

    a = StatisticsSerializer()
    b = StatisticsSerializer()
    mean_difference = serializers.FloatField(allow_null=True)


class ComparisonSerializer(serializers.Serializer[Any]):
    """Two datasets beside each other."""

    targets = SharedTargetSerializer(many=True)
    pixels = PixelComparisonSerializer()
    same_shape = serializers.BooleanField()


class NearestSerializer(serializers.Serializer[Any]):
    """Samples ``a`` with the nearest image ``b`` of another dataset, and how far it is, 0..1."""

    a = serializers.ListField(child=serializers.IntegerField())
    b = serializers.ListField(child=serializers.IntegerField())
    distances = serializers.ListField(child=serializers.FloatField())
    looked_at = serializers.IntegerField()

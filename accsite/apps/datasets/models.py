"""Datasets: images with named targets, identified by their content."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Dataset(models.Model):
    """One immutable safetensors file of images (N, C, H, W) and target columns."""

    name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=80, unique=True)
    file = models.CharField(max_length=255, help_text="name in the default storage")
    sha256 = models.CharField(max_length=64, help_text="of the file")
    content_hash = models.CharField(
        max_length=64, db_index=True, help_text="of images, targets and their description"
    )
    size_bytes = models.PositiveBigIntegerField()
    n = models.PositiveBigIntegerField()
    channels = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    width = models.PositiveIntegerField()
    dtype = models.CharField(max_length=16)
    targets = models.JSONField(
        default=list, help_text="acc.specs.TargetSpec of each column, with its statistics"
    )
    provenance = models.JSONField(
        default=dict, help_text="generator, version, params, seed; or importer and source"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

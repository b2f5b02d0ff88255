"""Datasets: images with named targets, identified by their content."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from accsite.fields import CleanJSONField


class LiveManager(models.Manager["Dataset"]):
    """The datasets that were not removed."""

    def get_queryset(self) -> models.QuerySet[Dataset]:
        return super().get_queryset().filter(removed_at=None)


class Dataset(models.Model):
    """One immutable safetensors file of images (N, C, H, W) and target columns.

    ``objects`` are those that can be used; ``every`` has those as well that wait to be purged after their removal.
    """

    name = models.CharField(max_length=80)
    slug = models.SlugField(
        max_length=80, unique=True, help_text="its address; a new name leaves it as it is"
    )
    file = models.CharField(max_length=255, help_text="name in the default storage")
    sha256 = models.CharField(max_length=64, help_text="of the file")
    content_hash = models.CharField(
        max_length=64, db_index=True, help_text="of images, targets and their description"
    )
    recipe_hash = models.CharField(
        max_length=64,
        blank=True,
        db_index=True,
        help_text="of generator, version, params, n and seed; empty for one that was imported",
    )
    size_bytes = models.PositiveBigIntegerField()
    n = models.PositiveBigIntegerField()
    channels = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    width = models.PositiveIntegerField()
    dtype = models.CharField(max_length=16)
    targets = CleanJSONField(
        default=list, help_text="acc.specs.TargetSpec of each column, with its statistics"
    )
    units = models.PositiveBigIntegerField(
        null=True, help_text="how many units the rows form; empty: each row stands for itself"
    )
    split = CleanJSONField(
        null=True,
        default=None,
        help_text="part -> rows, of the split that came with it; {}: none came; null: made before this was kept",
    )
    provenance = CleanJSONField(
        default=dict, help_text="generator, version, params, seed; or importer and source"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(
        null=True, blank=True, help_text="removed, and can be restored until purged"
    )

    every = models.Manager["Dataset"]()
    objects = LiveManager()

    class Meta:
        ordering = ["name"]
        base_manager_name = "every"
        default_manager_name = "objects"

    def __str__(self) -> str:
        return self.name

"""Datasets, to look at: they are immutable, and made by jobs and imports."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from typing_extensions import override

from accsite.apps.access.admin import ReadOnlyAdmin
from accsite.apps.datasets.models import Dataset


@admin.register(Dataset)
class DatasetAdmin(ReadOnlyAdmin):
    """Datasets with what is in them, and a few of their images."""

    list_display = ["name", "n", "shape", "columns", "size", "created_by", "created_at"]
    list_select_related = ["created_by"]
    search_fields = ["name", "slug", "content_hash", "sha256"]
    date_hierarchy = "created_at"
    readonly_fields = ["samples"]

    @override
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return no: tasks and checkpoints go on naming a dataset for as long as they live."""
        return False

    @admin.display(description="shape")
    def shape(self, dataset: Dataset) -> str:
        """Return channels, height and width."""
        return f"{dataset.channels} x {dataset.height} x {dataset.width} {dataset.dtype}"

    @admin.display(description="targets")
    def columns(self, dataset: Dataset) -> str:
        """Return the names of the target columns."""
        return ", ".join(target["name"] for target in dataset.targets) or "none"

    @admin.display(description="size", ordering="size_bytes")
    def size(self, dataset: Dataset) -> str:
        """Return the size of the file."""
        return filesizeformat(dataset.size_bytes)

    @admin.display(description="samples")
    def samples(self, dataset: Dataset) -> SafeString:
        """Return the first images."""
        address = reverse("api:dataset-samples", args=[dataset.slug])
        return format_html('<img src="{}?n=16&amp;columns=8" alt="first 16 samples">', address)

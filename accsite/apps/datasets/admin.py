"""Datasets, to look at, remove and restore: they are immutable, and made by jobs and imports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from typing_extensions import override

from acc.errors import InvalidInput
from accsite.apps.access.admin import ReadOnlyAdmin
from accsite.apps.datasets import services
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.uses import users_of


@admin.register(Dataset)
class DatasetAdmin(ReadOnlyAdmin):
    """Datasets with what is in them, and a few of their images."""

    list_display = ["name", "n", "shape", "columns", "size", "created_by", "created_at"]
    list_select_related = ["created_by"]
    search_fields = ["name", "slug", "content_hash", "sha256"]
    date_hierarchy = "created_at"
    list_filter = ["removed_at"]
    readonly_fields = ["samples", "used_by"]
    actions = ["remove", "restore"]

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Dataset]:
        """Return all, those that can be restored as well."""
        return Dataset.every.select_related("created_by")

    @admin.action(description="Remove (can be undone)", permissions=["remove"])
    def remove(self, request: HttpRequest, rows: QuerySet[Dataset]) -> None:
        """Remove datasets that nobody uses."""
        self._each(request, rows, services.remove, "removed")

    @admin.action(description="Restore", permissions=["remove"])
    def restore(self, request: HttpRequest, rows: QuerySet[Dataset]) -> None:
        """Undo removals."""
        self._each(request, rows, services.restore, "restored")

    def has_remove_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may delete datasets."""
        return request.user.has_perm("datasets.delete_dataset")

    def _each(
        self, request: HttpRequest, rows: QuerySet[Dataset], do: Callable[..., Dataset], done: str
    ) -> None:
        for row in rows:
            try:
                do(actor=request.user, dataset=row)
            except InvalidInput as error:
                self.message_user(request, str(error), messages.ERROR)
            else:
                self.message_user(request, f"'{row.name}' was {done}.", messages.SUCCESS)

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

    @admin.display(description="used by")
    def used_by(self, dataset: Dataset) -> str:
        """Return the names of up to five of those who use it."""
        return ", ".join(users_of(dataset)) or "nobody"

    @admin.display(description="samples")
    def samples(self, dataset: Dataset) -> SafeString:
        """Return the first images."""
        address = reverse("api:dataset-sprite", args=[dataset.slug])
        return format_html('<img src="{}?limit=16&amp;columns=8" alt="first 16 samples">', address)

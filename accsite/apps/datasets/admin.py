"""Datasets, to look at, remove and restore: they are immutable, and made by jobs and imports."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from typing_extensions import override

from accsite.actions.admin import ActionsAdmin
from accsite.apps.access.admin_parts import as_json, badge, each_row
from accsite.apps.access.permissions import may_write
from accsite.apps.datasets import pages, services
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.uses import users_of


@admin.register(Dataset)
class DatasetAdmin(ActionsAdmin):
    """Datasets with what is in them, and a few of their images."""

    list_display = ["name", "here", "n", "shape", "columns", "origin", "size", "created_by", "created_at"]
    list_select_related = ["created_by"]
    search_fields = ["name", "slug", "content_hash", "sha256"]
    date_hierarchy = "created_at"
    list_filter = [("removed_at", admin.EmptyFieldListFilter), "created_by"]
    fields = [
        "name",
        "slug",
        "here",
        "n",
        "shape",
        "split_words",
        "samples",
        "used_by",
        "origin",
        "size",
        "sha256",
        "content_hash",
        "created_by",
        "created_at",
        "removed_at",
        "provenance_text",
        "targets_text",
    ]
    actions = ["remove", "restore"]
    provenance_text = as_json("provenance")
    targets_text = as_json("targets")
    remove = each_row(
        "Remove (can be undone)", "removed", lambda user, row: services.remove(actor=user, dataset=row)
    )
    restore = each_row("Restore", "restored", lambda user, row: services.restore(actor=user, dataset=row))

    @override
    def seen(self, user: Any) -> QuerySet[Dataset]:
        """Return all, those that can be restored as well."""
        return Dataset.every.select_related("created_by")

    @override
    def has_add_permission(self, request: HttpRequest) -> bool:
        return may_write(request.user)

    @override
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseRedirect:
        """Lead to the site's own form, whose fields are the generator's and which shows eight images first."""
        return HttpResponseRedirect(reverse("datasets:dataset-new"))

    @override
    def view_on_site(self, obj: Dataset) -> str:
        return reverse("datasets:detail", args=[obj.slug])

    @badge({"here": "success", "removed": "warning"})
    @admin.display(description="state", ordering="removed_at")
    def here(self, dataset: Dataset) -> str:
        return "removed" if dataset.removed_at else "here"

    @admin.display(description="made by")
    def origin(self, dataset: Dataset) -> str:
        made = dataset.provenance
        return str(made.get("generator") or made.get("importer") or made.get("source") or "")

    @admin.display(description="shape")
    def shape(self, dataset: Dataset) -> str:
        return f"{dataset.channels} x {dataset.height} x {dataset.width} {dataset.dtype}"

    @admin.display(description="split")
    def split_words(self, dataset: Dataset) -> str:
        return pages.split_words(dataset) or "none that came with the data"

    @admin.display(description="targets")
    def columns(self, dataset: Dataset) -> str:
        return ", ".join(target["name"] for target in dataset.targets) or "none"

    @admin.display(description="size", ordering="size_bytes")
    def size(self, dataset: Dataset) -> str:
        return filesizeformat(dataset.size_bytes)

    @admin.display(description="used by")
    def used_by(self, dataset: Dataset) -> str:
        """Return the names of up to five of those who use it."""
        return ", ".join(users_of(dataset)) or "nobody"

    @admin.display(description="samples")
    def samples(self, dataset: Dataset) -> SafeString:
        address = reverse("api:dataset-sprite", args=[dataset.slug])
        return format_html('<img src="{}?limit=16&amp;columns=8" alt="first 16 samples">', address)

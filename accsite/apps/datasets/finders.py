"""How datasets are found by a few letters: see ``accsite.search``."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from accsite import search
from accsite.apps.access.permissions import may_write
from accsite.apps.datasets.models import Dataset
from accsite.search.rows import best


def register() -> None:
    search.register("dataset", _datasets)
    search.register_pages(
        search.Page("Datasets", "datasets:list", "all that can be trained on", "data images"),
        search.Page(
            "New dataset", "datasets:dataset-new", "make one by a generator", "generate", may=may_write
        ),
        search.Page(
            "Import a dataset", "datasets:dataset-import", "from files", "upload npz csv", may=may_write
        ),
        search.Page("Compare datasets", "datasets:compare", "two of them, side by side", "difference"),
    )


def _datasets(_user: Any, query: search.Query, limit: int) -> list[search.Found]:
    rows: QuerySet[Any] = best(Dataset.objects.all(), query, "name", "slug").only(
        "name", "slug", "n", "height", "width"
    )
    return [
        search.Found(
            "dataset",
            row.name,
            f"{row.n:,} images of {row.height} x {row.width}",
            reverse("datasets:detail", args=[row.slug]),
            row.rank,
        )
        for row in rows[:limit]
    ]

"""How studies are found by a few letters: see ``accsite.search``."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from accsite import search
from accsite.apps.studies.selectors import seen_studies
from accsite.search.rows import best


def register() -> None:
    search.register("study", _studies)
    search.register_pages(
        search.Page("Studies", "studies:studies", "arms, seeds and claims", "seeds verdict significance")
    )


def _studies(user: Any, query: search.Query, limit: int) -> list[search.Found]:
    rows: QuerySet[Any] = best(seen_studies(user), query, "name", "slug").only("name", "slug")
    return [
        search.Found("study", row.name, "study", reverse("studies:study", args=[row.slug]), row.rank)
        for row in rows[:limit]
    ]

"""What the faces of actions need to know of datasets: see ``accsite.actions``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import reverse

from accsite import actions
from accsite.apps.datasets.models import Dataset


def register() -> None:
    actions.register(
        actions.Things(
            model=Dataset,
            namespace="datasets",
            plural="datasets",
            seen_by=lambda _user: Dataset.every.select_related("created_by"),
            find=_find,
            word=lambda dataset: dataset.slug,
            page=lambda dataset: reverse("datasets:detail", args=[dataset.slug]),
            answer=_in_the_api,
            address="<dataset:slug>",
            line=lambda dataset: dataset.slug,
        ),
    )


def _find(_user: Any, slug: str) -> Dataset:
    from accsite.apps.datasets.selectors import get

    return get(slug, removed=True)


def _in_the_api() -> tuple[Any, Callable[[Any], Any]]:
    from accsite.apps.datasets.api.serializers import DatasetSerializer

    return DatasetSerializer, lambda dataset: DatasetSerializer(dataset).data

"""What the faces of actions need to know of datasets: see ``accsite.actions``."""

from __future__ import annotations

from django.urls import reverse

from accsite import actions
from accsite.apps.datasets import selectors
from accsite.apps.datasets.models import Dataset


def register() -> None:
    actions.register(
        actions.Things(
            model=Dataset,
            namespace="datasets",
            plural="datasets",
            seen_by=lambda _user: Dataset.every.select_related("created_by"),
            find=lambda _user, slug: selectors.get(slug, removed=True),
            word=lambda dataset: dataset.slug,
            page=lambda dataset: reverse("datasets:detail", args=[dataset.slug]),
            answer=actions.serialized("accsite.apps.datasets.api.serializers.DatasetSerializer"),
            address="<dataset:slug>",
            line=lambda dataset: dataset.slug,
        ),
    )

"""Renames datasets, removes them for a while or for good. What is in use is protected."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import ProtectedError
from django.utils import timezone

from acc.names import clean_name
from accsite import blobs
from accsite.apps.datasets.models import Dataset
from accsite.apps.datasets.services.create import TOPIC
from accsite.apps.datasets.services.naming import check_free
from accsite.apps.datasets.uses import NAMED, users_of
from accsite.apps.live.services import bump
from accsite.errors import WrongState


@transaction.atomic
def rename(*, actor: Any, dataset: Dataset, name: str) -> Dataset:
    """Return the dataset under its new name; its address stays. Raises InvalidInput (name)."""
    del actor  # datasets belong to the site
    name = clean_name(name)
    check_free(name, but=dataset)
    if not Dataset.objects.filter(pk=dataset.pk).update(name=name):
        raise _gone(dataset)
    dataset.name = name
    bump(TOPIC, data={"renamed": dataset.slug})
    return dataset


@transaction.atomic
def remove(*, actor: Any, dataset: Dataset) -> Dataset:
    """Return the dataset, removed: it can be restored for ACC_UNDO_SECONDS, then its file is deleted.

    Raises WrongState naming those who use it.
    """
    del actor
    check_unused(dataset)
    if not Dataset.objects.filter(pk=dataset.pk).update(removed_at=timezone.now()):
        raise _gone(dataset)
    dataset.refresh_from_db()
    bump(TOPIC, data={"removed": dataset.slug})
    return dataset


@transaction.atomic
def restore(*, actor: Any, dataset: Dataset) -> Dataset:
    """Return a removed dataset, back among the others. Raises InvalidInput (name) if another has its name now."""
    del actor
    if dataset.removed_at is None:
        raise WrongState({"dataset": f"'{dataset.name}' was not removed"})
    check_free(dataset.name, but=dataset)
    if not Dataset.every.filter(pk=dataset.pk).update(removed_at=None):
        raise _gone(dataset)
    dataset.removed_at = None
    bump(TOPIC, data={"restored": dataset.slug})
    return dataset


def discard(*, actor: Any, dataset: Dataset) -> None:
    """Remove a dataset for good, at once, with its file. Raises WrongState naming those who use it."""
    if dataset.removed_at is None:
        dataset = remove(actor=actor, dataset=dataset)
    _purge(dataset, timezone.now() + timedelta(seconds=1))


def check_unused(dataset: Dataset) -> None:
    """Raise WrongState naming up to five of those who use the dataset."""
    found = users_of(dataset, NAMED + 1)
    if found:
        more = " and others" if len(found) > NAMED else ""
        raise WrongState(
            dataset=f"'{dataset.name}' is used by {', '.join(found[:NAMED])}{more}; it stays while they do"
        )


def purge() -> list[str]:
    """Delete what was removed more than ACC_UNDO_SECONDS ago, and files that nobody names then; return the slugs."""
    due = timezone.now() - timedelta(seconds=settings.ACC_UNDO_SECONDS)
    return [
        row.slug
        for row in Dataset.every.filter(removed_at__lt=due)
        if not users_of(row, 1) and _purge(row, due)
    ]


def _purge(row: Dataset, due: datetime) -> bool:
    try:
        with transaction.atomic():
            locked = Dataset.every.select_for_update().filter(pk=row.pk, removed_at__lt=due)
            if not locked.exists():  # restored, or purged by another
                return False
            row.delete()
            bump(TOPIC)
    except ProtectedError:  # somebody began to use it at this very moment
        return False
    with transaction.atomic():
        bump(TOPIC)  # its row is what this and the taking in of the same content wait for
        if not Dataset.every.filter(file=row.file).exists():
            blobs.delete(row.file)
    return True


def _gone(dataset: Dataset) -> WrongState:
    return WrongState({"dataset": f"'{dataset.name}' was removed meanwhile; restore it first"})

"""Deletes leaves and subtrees, restores them, and makes room once nobody has asked for them back."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.dispatch import Signal
from django.utils import timezone

from acc.errors import InvalidInput
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.training.models import Checkpoint, Experiment
from accsite.apps.training.services.checkpoints import delete_unused
from accsite.apps.training.services.locks import lock_experiment
from accsite.apps.trees.services.dependants import needed
from accsite.errors import WrongState

purging = Signal()
"""Sent with ``checkpoints`` (their ids) within the transaction that removes them for good."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Deletion:
    """What was deleted together, and until when it can be restored."""

    id: uuid.UUID
    checkpoints: tuple[int, ...]
    bytes: int
    undo_until: datetime


@unit_of_work()
def delete_checkpoint(*, actor: Any, checkpoint: Checkpoint, subtree: bool = False) -> Deletion:
    """Take a leaf out of its tree, or with ``subtree`` a checkpoint and everything that grew from it.

    It can be restored for ACC_UNDO_SECONDS. Raises WrongState naming what depends on it: branch heads, forks,
    jobs that have not ended, tags, stars, and, without ``subtree``, its children.
    """
    experiment = lock_experiment(checkpoint.experiment_id)
    parents = dict(Checkpoint.objects.filter(experiment=experiment).values_list("pk", "parent_id"))
    if checkpoint.pk not in parents:
        raise WrongState({"checkpoint": f"checkpoint {checkpoint.pk} was deleted before"})
    chosen = descendants(checkpoint.pk, parents)
    if len(chosen) > 1 and not subtree:
        raise WrongState(
            checkpoint=f"{len(chosen) - 1} checkpoint{'s' * (len(chosen) > 2)} grew from checkpoint "
            f"{checkpoint.pk}; delete its whole subtree, or those first"
        )
    if reasons := needed(chosen):
        told = [f"checkpoint {pk} {why}" for pk, why in sorted(reasons.items())]
        more = f", and {len(told) - 5} more" if len(told) > 5 else ""
        raise WrongState({"checkpoint": f"nothing was deleted: {'; '.join(told[:5])}{more}"})
    made = take_out(experiment, chosen)
    log.info("checkpoints_deleted", deletion=str(made.id), checkpoints=made.checkpoints, by=str(actor or ""))
    return made


def take_out(experiment: Experiment, chosen: Iterable[int]) -> Deletion:
    """Mark checkpoints as deleted together; nothing may depend on them, and the experiment is locked."""
    now, identity = timezone.now(), uuid.uuid4()
    rows = Checkpoint.objects.filter(pk__in=list(chosen))
    freed = dict(rows.filter(weights_pruned_at=None).values_list("file", "size_bytes"))
    ids = tuple(sorted(rows.values_list("pk", flat=True)))
    _touch_jobs(rows)
    rows.update(deleted_at=now, deletion=identity)
    touch("experiments", f"checkpoints:{experiment.pk}")
    return Deletion(identity, ids, sum(freed.values()), now + timedelta(seconds=settings.ACC_UNDO_SECONDS))


@unit_of_work()
def restore_deletion(*, actor: Any, experiment: Experiment, deletion: Any) -> list[Checkpoint]:
    """Undo a deletion and return its checkpoints.

    Raises InvalidInput for one that there is not (any more), WrongState when what it hung on is deleted too.
    """
    lock_experiment(experiment.pk)
    try:
        identity = uuid.UUID(str(deletion))
    except ValueError:
        raise InvalidInput({"deletion": f"{deletion!r} is not the id of a deletion"}) from None
    rows = Checkpoint.everything.filter(experiment=experiment, deletion=identity)
    found = list(rows)
    if not found:
        raise InvalidInput(
            {"deletion": f"{identity} is not there; what was deleted can be restored for {_grace()}"}
        )
    ids = {row.pk for row in found}
    outside = {row.parent_id for row in found if row.parent_id is not None} - ids
    gone = Checkpoint.everything.filter(pk__in=outside).exclude(deleted_at=None).first()
    if gone is not None:
        raise WrongState(
            {"deletion": f"it hangs on checkpoint {gone.pk}, deleted later; restore {gone.deletion} first"}
        )
    _touch_jobs(rows)
    rows.update(deleted_at=None, deletion=None)
    log.info("checkpoints_restored", deletion=str(identity), by=str(actor or ""))
    touch("experiments", f"checkpoints:{experiment.pk}")
    return list(Checkpoint.objects.filter(pk__in=ids))


def _touch_jobs(rows: QuerySet[Checkpoint]) -> None:
    """Tell what shows the jobs that made these checkpoints: what was measured of one that is deleted is not theirs."""
    touch(*(f"job:{pk}" for pk in rows.order_by().values_list("job", flat=True).distinct() if pk is not None))


def purge(now: datetime | None = None) -> list[int]:
    """Remove for good what nobody restored in time, with its files and evaluations; return the ids."""
    before = (now or timezone.now()) - timedelta(seconds=settings.ACC_UNDO_SECONDS)
    late = Checkpoint.everything.filter(deleted_at__lt=before)
    removed: list[int] = []
    for experiment in sorted(set(late.values_list("experiment_id", flat=True))):
        removed += _purge(experiment, before)
    if removed:
        log.info("checkpoints_purged", checkpoints=removed)
    return removed


@unit_of_work()
def _purge(experiment_id: int, before: datetime) -> list[int]:
    lock_experiment(experiment_id)
    late = Checkpoint.everything.filter(experiment=experiment_id, deleted_at__lt=before).order_by("-pk")
    rows = list(late.only("pk", "file", "parent_id"))
    kept = needed_by_jobs([row.pk for row in rows])
    parents = {row.pk: row.parent_id for row in rows}
    for pk in sorted(kept):  # and what they grew from
        while (above := parents.get(pk)) is not None and above not in kept:
            kept.add(above)
            pk = above  # noqa: PLW2901
    gone = [row for row in rows if row.pk not in kept]
    ids = [row.pk for row in gone]
    purging.send(Checkpoint, checkpoints=ids)
    for row in gone:
        row.delete()
        transaction.on_commit(partial(delete_unused, row.file), robust=True)
    return ids


def needed_by_jobs(ids: list[int]) -> set[int]:
    """Return those that a job which has not ended still needs, though they are deleted."""
    return {pk for pk, why in needed(ids).items() if "job" in why}


def descendants(root: int, parents: Mapping[int, int | None]) -> set[int]:
    """Return a node and everything below it; a child's id is greater than its parent's."""
    found = {root}
    for pk in sorted(parents):
        if parents[pk] in found:
            found.add(pk)
    return found


def _grace() -> str:
    return f"{settings.ACC_UNDO_SECONDS / 3600:g} hours"

"""Which checkpoints keep their weights, and the pruning of the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from pydantic import Field

from acc.errors import InvalidInput
from acc.specs import Spec, parse
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.training.models import Checkpoint, Experiment
from accsite.apps.training.services.checkpoints import delete_unused
from accsite.apps.training.services.locks import lock_experiment
from accsite.apps.trees import measures
from accsite.apps.trees.services.deletion import Deletion, take_out
from accsite.apps.trees.services.dependants import needed

log = structlog.get_logger(__name__)


class Policy(Spec):
    """What pruning keeps besides what is tagged, starred or needed: the ``last`` of each branch, the ``best``."""

    last: int = Field(default=3, ge=0, le=100_000)
    best: int = Field(default=1, ge=0, le=100_000)
    metric: str = measures.TOTAL


@dataclass
class Plan:
    """What pruning would do. kept: id -> why; leaves: taken out of the tree; weights: nodes that lose their file."""

    policy: Policy
    kept: dict[int, str] = field(default_factory=dict)
    leaves: list[int] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)
    bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        fields = {"kept": self.kept, "leaves": self.leaves, "weights": self.weights, "bytes": self.bytes}
        return {"policy": self.policy.model_dump(), **fields}


def policy_of(experiment: Experiment) -> Policy:
    """Return the experiment's own policy, or the site's."""
    site = {
        "last": settings.ACC_KEEP_LAST,
        "best": settings.ACC_KEEP_BEST,
        "metric": settings.ACC_KEEP_METRIC,
    }
    return Policy.model_validate({**site, **experiment.retention})


@unit_of_work()
def set_retention(*, actor: Any, experiment: Experiment, policy: Mapping[str, Any] | None) -> Experiment:
    """Return the experiment with a policy of its own (``Policy`` as plain data), or without one (None).

    Raises InvalidInput naming each wrong field (``retention.*``).
    """
    lock_experiment(experiment.pk)
    own = {} if not policy else _clean(policy).model_dump()
    experiment.retention = own
    experiment.save(update_fields=["retention"])
    log.info("retention_set", experiment=experiment.pk, policy=own, by=str(actor or ""))
    touch("experiments")
    return experiment


def plan_pruning(experiment: Experiment, policy: Mapping[str, Any] | None = None) -> Plan:
    """Return what pruning would do; nothing changes. ``policy``: instead of the experiment's or the site's.

    Raises InvalidInput for a wrong policy (``retention.*``), and where the metric may be of several datasets (metric).
    """
    chosen = _clean({**policy_of(experiment).model_dump(), **policy}) if policy else policy_of(experiment)
    rows = list(
        Checkpoint.objects.filter(experiment=experiment)
        .order_by("pk")
        .values_list("pk", "parent_id", "branch_id", "file", "size_bytes", "weights_pruned_at")
    )
    ids = {row[0] for row in rows}
    plan = Plan(chosen, kept=needed(ids, forks=False))
    newest: dict[int, list[int]] = defaultdict(list)
    for pk, _, branch, *_ in rows:
        newest[branch].append(pk)
    for found in newest.values():
        for pk in found[len(found) - min(chosen.last, len(found)) :]:
            plan.kept.setdefault(pk, "is among the newest of its branch")
    if chosen.best:
        measured = measures.read(experiment.pk, chosen.metric)
        sign = -1 if measured.higher_is_better else 1
        order = sorted(ids & measured.values.keys(), key=lambda pk: (sign * measured.values[pk], pk))
        for pk in order[: chosen.best]:
            plan.kept.setdefault(pk, f"is among the best by {measured.name}")
    forks = needed(ids, forks=True)
    grown_from: set[int] = set()
    files: dict[str, int] = {}
    holding: set[str] = set()
    for pk, parent, _, file, size, pruned in reversed(rows):  # children come before what they grew from
        stays = pk in plan.kept or pk in grown_from or pk in forks
        if stays and parent is not None:
            grown_from.add(parent)
        if not stays:
            plan.leaves.append(pk)
        elif pk not in plan.kept and pruned is None:
            plan.weights.append(pk)
        elif pruned is None:
            holding.add(file)
        if (not stays or pk not in plan.kept) and pruned is None:
            files[file] = size
    plan.bytes = sum(size for file, size in files.items() if file not in holding)
    return plan


@unit_of_work()
def prune(
    *, actor: Any, experiment: Experiment, policy: Mapping[str, Any] | None = None
) -> tuple[Plan, Deletion | None]:
    """Prune an experiment and return what was done, with the deletion by which the leaves can be restored.

    Leaves that nothing needs leave the tree and can be restored for ACC_UNDO_SECONDS. Nodes that others grew
    from stay, without their files: at once, and for good.
    """
    lock_experiment(experiment.pk)
    plan = plan_pruning(experiment, policy)
    deletion = take_out(experiment, plan.leaves) if plan.leaves else None
    rows = Checkpoint.objects.filter(pk__in=plan.weights)
    files = list(rows.values_list("file", flat=True))
    rows.update(weights_pruned_at=timezone.now())
    for file in files:
        transaction.on_commit(partial(delete_unused, file), robust=True)
    log.info(
        "pruned", experiment=experiment.pk, leaves=plan.leaves, weights=plan.weights, by=str(actor or "")
    )
    touch(f"checkpoints:{experiment.pk}")
    return plan, deletion


def _clean(policy: Mapping[str, Any]) -> Policy:
    if not isinstance(policy, Mapping):
        raise InvalidInput({"retention": f"{policy!r} is not an object"})
    cleaned: Policy = parse(Policy, dict(policy), prefix="retention.")
    return cleaned

"""What needs a checkpoint: none of it may lose it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from django.db.models import Q

from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Branch, Checkpoint

Uses = Callable[[Collection[int]], Iterable[tuple[int, str]]]
USES: list[Uses] = []
"""What apps above use of checkpoints: each returns ids among those that it is given, with the reason in words."""


def needed(ids: Collection[int], *, forks: bool = True) -> dict[int, str]:
    """Return those of the checkpoints that something depends on, each with the first reason in words.

    With ``forks`` also those at which branches began, whose lines would otherwise begin nowhere.
    """
    reasons: dict[int, str] = {}
    for pk, tag, starred in Checkpoint.objects.filter(pk__in=ids).values_list("pk", "tag", "starred"):
        if tag:
            reasons[pk] = f"is tagged {tag!r}"
        elif starred:
            reasons[pk] = "is starred"
    for head, forked, name in Branch.objects.filter(Q(head__in=ids) | Q(forked_from__in=ids)).values_list(
        "head", "forked_from", "name"
    ):
        if head in ids:
            reasons.setdefault(head, f"is the head of branch {name!r}")
        if forks and forked in ids:
            reasons.setdefault(forked, f"is where branch {name!r} was forked")
    uses = ("checkpoint", "start_checkpoint", "resume_checkpoint")
    used = Q()
    for use in uses:
        used |= Q(**{f"{use}__in": ids})
    for job, *found in Job.objects.active().filter(used).values_list("pk", *uses):
        for pk in found:
            if pk in ids:
                reasons.setdefault(pk, f"is used by job {job}, which has not ended")
    for uses_of in USES:
        for pk, why in uses_of(ids):
            reasons.setdefault(pk, why)
    return reasons

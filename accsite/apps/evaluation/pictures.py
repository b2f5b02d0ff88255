"""Pictures that are kept of checkpoints, for the pages of other apps: reconstructions, and strips of traversals."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Max, QuerySet
from django.urls import reverse

from accsite.apps.evaluation.models import Artifact
from accsite.apps.trees.pictures import Picture

RECONSTRUCTIONS = "reconstructions"
TRAVERSALS = "traversals"
COLUMNS = ("pk", "name", "meta", "evaluation__step")


class Reconstructions:
    """The newest picture of reconstructions: of a checkpoint, or of whatever was drawn last in an experiment."""

    def newest(self, experiments: Collection[int]) -> Mapping[int, Picture]:
        owner = "evaluation__branch__experiment"
        rows = _kept().filter(**{f"{owner}__in": experiments}).order_by().values(owner)
        last = dict(rows.annotate(last=Max("pk")).values_list("last", owner))
        found = _kept().filter(pk__in=last).values_list(*COLUMNS)
        return {last[row[0]]: picture for row in found if (picture := _picture(*row))}

    def in_tree(self, experiment: int) -> Mapping[int, Picture]:
        found = _kept().filter(evaluation__checkpoint__experiment=experiment).order_by("pk")
        rows = found.values_list("evaluation__checkpoint", *COLUMNS)
        return {checkpoint: picture for checkpoint, *row in rows if (picture := _picture(*row))}

    def of(self, checkpoint: int) -> Picture | None:
        found = _kept().filter(evaluation__checkpoint=checkpoint).order_by("-pk")
        row = found.values_list(*COLUMNS).first()
        return _picture(*row) if row else None


@dataclass(frozen=True)
class Strip:
    """The first row of a stored traversal: where the picture is, and of each step the view box and the value.

    ``width``, ``height``: pixels of the whole picture. ``group``: the factor group that is moved.
    """

    group: str
    url: str
    width: int
    height: int
    steps: tuple[tuple[str, float], ...]


def strip_of(checkpoint: int, groups: Collection[str], steps: int) -> Strip | None:
    """Return the newest stored traversal of a checkpoint, of the first of ``groups`` that has one.

    steps: how many of its steps to take, equally far apart, round the middle; all ends where it has fewer.
    """
    kept = strips_of([checkpoint], steps, groups).get(checkpoint, {})
    return next((kept[group] for group in groups if group in kept), None)


def strips_of(
    checkpoints: Collection[int], steps: int, groups: Collection[str] | None = None
) -> dict[int, dict[str, Strip]]:
    """Return the newest stored traversals of checkpoints by group (None: of every one), by one query for all."""
    found = _kept(TRAVERSALS).filter(evaluation__checkpoint__in=checkpoints).order_by("pk")
    if groups is not None:
        found = found.filter(name__in=groups)
    kept: dict[int, dict[str, Strip]] = {}
    for checkpoint, pk, name, meta in found.values_list("evaluation__checkpoint", "pk", "name", "meta"):
        values, tile = meta.get("values", []), meta.get("tile")
        if len(values) < 2 or not tile:
            continue
        chosen = _evenly(len(values), steps)
        width, height = tile
        boxes = tuple((f"{(at + 1) * width} 0 {width} {height}", values[at]) for at in chosen)
        url = reverse("evaluation:artifact", args=[pk])
        kept.setdefault(checkpoint, {})[name] = Strip(name, url, meta["width"], meta["height"], boxes)
    return kept


def _evenly(n: int, steps: int) -> list[int]:
    """Return ``steps`` of ``n`` places, equally far apart, round the middle; some twice where there are fewer."""
    apart = (n - 1) // (steps - 1)
    if not apart:
        return [round(at * (n - 1) / (steps - 1)) for at in range(steps)]
    first = (n - 1 - apart * (steps - 1)) // 2
    return [first + at * apart for at in range(steps)]


def _kept(kind: str = RECONSTRUCTIONS) -> QuerySet[Artifact]:
    """Return the pictures of checkpoints that are there: one that waits for an undo of its deletion shows none."""
    there = {"evaluation__checkpoint__isnull": False, "evaluation__checkpoint__deleted_at": None}
    return Artifact.objects.filter(kind=kind, media_type="image/png", **there)


def _picture(pk: int, name: str, meta: Mapping[str, Any], step: int) -> Picture | None:
    """Return the picture; None for one of before its measures were kept."""
    if not {"tile", "width", "height"} <= set(meta):
        return None
    width, height = meta["tile"]
    said = f"{meta.get('of') or 'images'} of {name} at step {step:,}, and their reconstructions below"
    url = reverse("evaluation:artifact", args=[pk])
    return Picture(url, meta["width"], meta["height"], (width, height), said)

"""Lets the pages of trees show the reconstructions that are kept of checkpoints."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.db.models import Max, QuerySet
from django.urls import reverse

from accsite.apps.evaluation.models import Artifact
from accsite.apps.trees.pictures import Picture

RECONSTRUCTIONS = "reconstructions"
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


def _kept() -> QuerySet[Artifact]:
    """Return the pictures of checkpoints that are there: one that waits for an undo of its deletion shows none."""
    there = {"evaluation__checkpoint__isnull": False, "evaluation__checkpoint__deleted_at": None}
    return Artifact.objects.filter(kind=RECONSTRUCTIONS, media_type="image/png", **there)


def _picture(pk: int, name: str, meta: Mapping[str, Any], step: int) -> Picture | None:
    """Return the picture; None for one of before its measures were kept."""
    if not {"tile", "width", "height"} <= set(meta):
        return None
    width, height = meta["tile"]
    said = f"{meta.get('of') or 'images'} of {name} at step {step:,}, and their reconstructions below"
    url = reverse("evaluation:artifact", args=[pk])
    return Picture(url, meta["width"], meta["height"], (width, height), said)

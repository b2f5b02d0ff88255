"""What a page of a checkpoint was asked to show, read from its address, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet

from acc.errors import InvalidInput
from acc.specs import EvalSpec, parse
from accsite.apps.evaluation.models import Artifact, Evaluation, Part, asked_on
from accsite.apps.evaluation.services.keys import OPTIONS, part_key
from accsite.apps.training.models import Checkpoint, Experiment
from accsite.ids import row_id
from accsite.pages import visible_row

TABS = {
    "metrics": "Metrics",
    "reconstructions": "Reconstructions",
    "traversals": "Traversals",
    "sort": "Sort by activation",
    "attention": "Attention",
    "ufr": "UFR",
}


def tab_of(part: str) -> str:
    """Return the tab that shows a part of an evaluation: numbers of metrics that are plugins stand among all others."""
    return part if part in TABS else "metrics"


CHOICES = ("seed", "shown", "direction", "dataset", "rows")
DIRECTIONS = {
    "principal": "the group's principal direction",
    "pattern": "the pattern of its concept",
    "dimensions": "each dimension",
}

ROWS = {
    "test": "test rows of the split that came with the data",
    "combinations": "held-out combinations",
    "all": "all rows, but metrics of tasks stay on those held out",
}
"""The rows that may be measured on in place of those held out, in words."""


NUMBERS = ("metrics", "ufr")
"""Parts whose numbers stand on other pages too. Without options the newest is shown, as there; pictures are those of
the default options."""


@dataclass(frozen=True)
class PartRequest:
    """A part with its options; ``chosen`` are those that the address gives. ``evaluation``: this one and no other."""

    part: str
    spec: EvalSpec
    chosen: Mapping[str, Any] = field(default_factory=dict)
    refused: str = ""
    evaluation: int | None = None

    @property
    def query(self) -> str:
        """The options as they stand in an address, with the question mark; empty if there are none."""
        return f"?{urlencode(self.chosen)}" if self.chosen else ""

    @property
    def on_rows(self) -> str:
        """The rows alone as they stand in an address; empty for those held out."""
        return f"?{urlencode({'rows': self.chosen['rows']})}" if "rows" in self.chosen else ""

    @property
    def is_exact(self) -> bool:
        """Whether more is asked for than a part on some rows."""
        return bool(self.chosen.keys() - {"rows"})

    @property
    def rows(self) -> str:
        """Which rows are asked for, in words; empty for those held out."""
        return ROWS.get(self.spec.rows, "")


@dataclass(frozen=True)
class Kept:
    """What is kept of a part: its evaluation and artifacts by kind; nothing where it was not measured."""

    part: Part | None = None
    evaluation: Evaluation | None = None
    artifacts: Mapping[str, list[Artifact]] = field(default_factory=dict)


def find_checkpoint(user: Any, pk: int) -> Checkpoint:
    """Return a checkpoint that ``user`` may see; raises Http404."""
    rows = Checkpoint.objects.filter(experiment__in=Experiment.objects.visible_to(user))
    return visible_row(rows.select_related("branch__experiment", "experiment"), f"checkpoint {pk}", pk=pk)


def read(part: str, query: Mapping[str, Any]) -> PartRequest:
    """Return what the address asks for; options that are refused are left out, and why is told."""
    chosen = relevant(part, query)
    exact = row_id(str(query.get("evaluation", ""))) or None
    try:
        return PartRequest(part, parse(EvalSpec, {"suite": (part,), **chosen}), chosen, evaluation=exact)
    except InvalidInput as error:
        return PartRequest(part, EvalSpec(suite=(part,)), {}, str(error))


def relevant(part: str, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a part that ``query`` gives."""
    return {name: query[name] for name in CHOICES if name in OPTIONS[part] and query.get(name)}


def kept(checkpoint: Checkpoint, asked: PartRequest, dataset: str = "") -> Kept:
    """Return what is kept: of the evaluation asked for, of just these options, or (none given) of the same rows.

    dataset: only what was measured on it, whether it was asked for by name or chosen by itself.
    """
    newest = _newest(checkpoint, asked, dataset)
    if asked.evaluation:
        return _held(newest.filter(evaluation=asked.evaluation).first())
    found = None
    if asked.is_exact or asked.part not in NUMBERS:
        found = newest.filter(key=part_key(checkpoint, asked.spec, asked.part)).first()
    return _held(found if found or asked.is_exact else newest.first())


def kept_alike(checkpoints: Sequence[Checkpoint], asked: PartRequest, dataset: str = "") -> list[Kept]:
    """Return what is kept of each, to be laid side by side: numbers, where no options are given, of the newest options
    that all were measured with, if there are such."""
    if asked.part in NUMBERS and not asked.is_exact:
        found = [_by_options(checkpoint, asked, dataset) for checkpoint in checkpoints]
        for options in found[0]:
            if all(options in each for each in found):
                return [_held(each[options]) for each in found]
    return [kept(checkpoint, asked, dataset) for checkpoint in checkpoints]


def measured(checkpoint: Checkpoint, asked: PartRequest) -> list[Part]:
    """Return the newest of each set of options that a part was measured with on these rows, the newest first."""
    return list(_by_options(checkpoint, asked, "").values())


def _newest(checkpoint: Checkpoint, asked: PartRequest, dataset: str) -> QuerySet[Part]:
    parts = Part.objects.filter(asked_on(asked.spec.rows), evaluation__checkpoint=checkpoint, name=asked.part)
    if dataset:
        parts = parts.filter(evaluation__dataset=dataset)
    return parts.select_related("evaluation").order_by("-evaluation_id")


def _by_options(checkpoint: Checkpoint, asked: PartRequest, dataset: str) -> dict[str, Part]:
    """Return the newest part of each set of options that count for it, the newest first."""
    found: dict[str, Part] = {}
    for part in _newest(checkpoint, asked, dataset):
        given = part.evaluation.options
        options = {name: given.get(name) for name in OPTIONS[asked.part]} | {
            "dataset": part.evaluation.dataset
        }
        found.setdefault(json.dumps(options, sort_keys=True), part)
    return found


def _held(part: Part | None) -> Kept:
    if part is None:
        return Kept()
    by_kind: dict[str, list[Artifact]] = {}
    for artifact in part.evaluation.artifacts.order_by("id"):
        by_kind.setdefault(artifact.kind, []).append(artifact)
    return Kept(part, part.evaluation, by_kind)

"""What a page of a checkpoint was asked to show, read from its address, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from acc.errors import InvalidInput
from acc.specs import EvalSpec, parse
from accsite.apps.evaluation.models import Artifact, Evaluation, Part, asked_on
from accsite.apps.evaluation.services.keys import OPTIONS, part_key
from accsite.apps.training.models import Checkpoint, Experiment
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


@dataclass(frozen=True)
class PartRequest:
    """A part with its options; ``chosen`` are those that the address gives."""

    part: str
    spec: EvalSpec
    chosen: Mapping[str, Any] = field(default_factory=dict)
    refused: str = ""

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
    try:
        return PartRequest(part, parse(EvalSpec, {"suite": (part,), **chosen}), chosen)
    except InvalidInput as error:
        return PartRequest(part, EvalSpec(suite=(part,)), {}, str(error))


def relevant(part: str, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a part that ``query`` gives."""
    return {name: query[name] for name in CHOICES if name in OPTIONS[part] and query.get(name)}


def kept(checkpoint: Checkpoint, asked: PartRequest, dataset: str = "") -> Kept:
    """Return what is kept: of just these options, or (none given) the newest of that part on the same rows.

    dataset: only what was measured on it, whether it was asked for by name or chosen by itself.
    """
    parts = Part.objects.filter(asked_on(asked.spec.rows), evaluation__checkpoint=checkpoint, name=asked.part)
    if dataset:
        parts = parts.filter(evaluation__dataset=dataset)
    newest = parts.select_related("evaluation").order_by("-evaluation_id")
    found = newest.filter(key=part_key(checkpoint, asked.spec, asked.part)).first()
    if found is None and not asked.is_exact:
        found = newest.first()
    if found is None:
        return Kept()
    by_kind: dict[str, list[Artifact]] = {}
    for artifact in found.evaluation.artifacts.order_by("id"):
        by_kind.setdefault(artifact.kind, []).append(artifact)
    return Kept(found, found.evaluation, by_kind)

"""Which checkpoints can be compared, and how what was chosen differs in what made it: queries only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from accsite.apps.evaluation.models import Metric
from accsite.apps.training.models import Branch, Checkpoint, CheckpointKind, Experiment
from accsite.apps.trees.selectors.differences import spec_difference
from accsite.ids import row_id
from accsite.numbers import NONE, exact
from accsite.search import MAX_QUERY, MAX_TERMS

FOUND = 12


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same in what made the checkpoints, with its value in each."""

    name: str
    values: list[str]


def newest(user: Any) -> list[Checkpoint]:
    """Return the two newest measured heads that ``user`` may see, one that the other grew from first, else the older.

    Where fewer were measured, other heads take their place, and then other checkpoints, but no autosave, which
    the next one replaces.
    """
    ends = Branch.objects.filter(head=OuterRef("pk"))
    numbers = Metric.objects.filter(evaluation__checkpoint=OuterRef("pk"), value__isnull=False)
    kept = _visible(user).exclude(kind=CheckpointKind.AUTOSAVE)
    rows = kept.annotate(ends=Exists(ends), measured=Exists(numbers))
    rows = rows.annotate(ready=Q(ends=True, measured=True))
    found: list[Checkpoint] = sorted(rows.order_by("-ready", "-ends", "-pk")[:2], key=lambda each: each.pk)
    if len(found) == 2 and _grew_from(found[0], found[1].pk):
        found.reverse()
    return found


def _grew_from(node: Checkpoint, ancestor: int) -> bool:
    """Return whether a checkpoint grew from another."""
    parents = dict(
        Checkpoint.everything.filter(experiment=node.experiment_id).order_by().values_list("pk", "parent_id")
    )
    at = node.parent_id
    while at is not None and at != ancestor:
        at = parents.get(at)
    return at is not None


def find(user: Any, text: str, chosen: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Return checkpoints by words of experiment, branch or tag, by step or by id; without a text heads, newest first.

    Each word has to be found somewhere, of as many as a search takes. Those that are chosen are left out.
    """
    words = text[:MAX_QUERY].split()[:MAX_TERMS]
    rows = _visible(user).exclude(pk__in=[each.pk for each in chosen])
    if not words:
        rows = rows.filter(head_of__isnull=False).distinct()
    for word in words:
        named = Q(experiment__name__icontains=word) | Q(branch__name__icontains=word) | Q(tag__icontains=word)
        number = row_id(word.replace(",", ""))
        rows = rows.filter(named | Q(step=number) | Q(pk=number) if number else named)
    return list(rows.order_by("-pk")[:FOUND])


def heads(user: Any, checkpoint: Checkpoint, most: int) -> list[Checkpoint]:
    """Return up to ``most`` heads of the experiment of a checkpoint, one of each branch, itself first."""
    branches = Branch.objects.filter(experiment=checkpoint.experiment_id).order_by("pk")
    ids = dict.fromkeys([checkpoint.pk, *branches.exclude(head=None).values_list("head_id", flat=True)])
    found = {row.pk: row for row in _visible(user).filter(pk__in=list(ids)[:most])}
    return [found[pk] for pk in ids if pk in found]


def differences(checkpoints: Sequence[Checkpoint]) -> list[Difference]:
    """Return what differs between the first of the checkpoints and the others: step, model, training, tasks, data."""
    first = checkpoints[0]
    rows: dict[str, list[str]] = {}
    for place, other in enumerate(checkpoints[1:], 1):
        for name, before, after in _changed(first.spec, other.spec):
            rows.setdefault(name, [before] * len(checkpoints))[place] = after
    steps = [f"{each.step:,}" for each in checkpoints]
    told = [Difference("step", steps)] if len(set(steps)) > 1 else []
    return [*told, *(Difference(name, values) for name, values in rows.items())]


def _changed(before: Any, after: Any) -> list[tuple[str, str, str]]:
    found = spec_difference(before, after)
    tasks, datasets = found.get("tasks", {}), found.get("datasets", {})
    lines = [
        *((f"task {task['name']}", NONE, task["task_class"]) for task in tasks.get("added", ())),
        *((f"task {task['name']}", task["task_class"], NONE) for task in tasks.get("removed", ())),
    ]
    for key, fields in tasks.get("changed", {}).items():
        lines += [_line(f"{_spaced(name)} of task {key}", pair) for name, pair in fields.items()]
    lines += [(f"dataset {name}", NONE, "used") for name in datasets.get("added", ())]
    lines += [(f"dataset {name}", "used", NONE) for name in datasets.get("removed", ())]
    for part, of in (("train", "training"), ("model", "model")):
        fields = found.get(part, {})
        lines += [_line(f"{_spaced(name)} of {of}", pair) for name, pair in fields.items()]
    for name, pair in found.get("plugins", {}).items():
        lines.append(_line(f"source of {name}", [str(sha256 or "")[:12] for sha256 in pair]))
    return lines


def _line(name: str, pair: Sequence[Any]) -> tuple[str, str, str]:
    before, after = pair
    return name, _text(before), _text(after)


def _text(value: Any) -> str:
    if value is None or value == "":
        return NONE
    if isinstance(value, float):
        return exact(value)
    if isinstance(value, dict) and value.keys() == {"name", "start", "end"}:  # a factor group
        return f"{value['name']} {value['start']}:{value['end']}"
    if isinstance(value, dict):
        return ", ".join(f"{_spaced(str(name))} {_text(each)}" for name, each in value.items()) or NONE
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or NONE
    return str(value)


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _visible(user: Any) -> QuerySet[Checkpoint]:
    rows = Checkpoint.objects.filter(experiment__in=Experiment.objects.visible_to(user))
    return rows.select_related("branch__experiment", "experiment").defer("spec")

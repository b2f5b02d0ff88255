"""What the pages of a measured branch show: queries only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count
from django.urls import reverse

from accsite.apps.evaluation.models import Artifact, Evaluation, Metric
from accsite.apps.evaluation.pages.tabs import is_listed
from accsite.apps.evaluation.pictures import RECONSTRUCTIONS
from accsite.apps.evaluation.selectors.metric_plugins import MetricPlugins
from accsite.apps.evaluation.selectors.samples import Samples
from accsite.apps.live import selectors as live
from accsite.apps.training.models import Branch, Checkpoint, Experiment
from accsite.pages import visible_row

EVALUATIONS_SHOWN = 5
CHECKPOINTS_SHOWN = 12
NO_SLOT = -1


@dataclass(frozen=True)
class MetricRow:
    """One metric of one task on one dataset with one set of options, over the newest steps, oldest first.

    None where it was not measured so. ``where`` names the dataset, and what tells it from another row of the same.
    ``baseline`` is what the trivial answer would score; ``higher_is_better`` None: neither is good.
    """

    task: str
    slot: int
    name: str
    where: str
    higher_is_better: bool | None
    values: list[Metric | None]
    baseline: float | None
    trend: str


def find_branch(user: Any, pk: int) -> Branch:
    """Return a branch that ``user`` may see; raises Http404."""
    rows = Branch.objects.filter(experiment__in=Experiment.objects.visible_to(user))
    return visible_row(rows.select_related("experiment", "head"), f"branch {pk}", pk=pk)


def find_artifact(user: Any, pk: int) -> Artifact:
    """Return an artifact of a visible experiment; raises Http404."""
    visible = Experiment.objects.visible_to(user)
    rows = Artifact.objects.filter(evaluation__branch__experiment__in=visible)
    return visible_row(rows, f"artifact {pk}", pk=pk)


def measured_checkpoints(branch: Branch) -> list[Checkpoint]:
    """Return the newest checkpoints of a branch with ``parts``, how many parts were measured of each."""
    counted = branch.checkpoints.annotate(parts=Count("evaluations__parts__name", distinct=True))
    return list(counted.order_by("-step", "-pk")[:CHECKPOINTS_SHOWN])


def newest_with_metrics(branch: Branch) -> list[Evaluation]:
    """Return the newest evaluations that measured something, oldest first, all of each of the newest steps."""
    measured = branch.evaluations.filter(metrics__isnull=False).distinct()
    steps = sorted(set(measured.values_list("step", flat=True)))[-EVALUATIONS_SHOWN:]
    shown = measured.filter(step__in=steps).order_by("step", "id")
    return list(shown.prefetch_related("metrics"))


def metric_rows(branch: Branch, evaluations: Sequence[Evaluation]) -> tuple[list[int], list[MetricRow]]:
    """Return the steps, and the metrics of ``evaluations`` as rows with a value for each, by the order of the tasks.

    What was measured on another dataset or with other options is another row: two of them make no trend.
    """
    known = {task.key: task for task in branch.tasks.all()}
    order = {key: position for position, key in enumerate(known)}
    steps = sorted({evaluation.step for evaluation in evaluations})
    cells: dict[tuple[str, str, str], list[Metric | None]] = {}
    undefined: list[Metric] = []
    for evaluation in evaluations:
        for metric in evaluation.metrics.all():
            if metric.concept or metric.group or not is_listed(metric):
                continue
            metric.evaluation = evaluation
            if metric.value is None and not metric.sample:  # nobody looked at any images
                undefined.append(metric)
                continue
            row = cells.setdefault((metric.task_key, metric.name, metric.kind_of_sample), [None] * len(steps))
            row[steps.index(evaluation.step)] = metric
    for metric in undefined:
        same = [row for row in cells.values() if (last := _last(row)) and _of(last) == _of(metric)]
        row = same[0] if same else cells.setdefault(_of(metric), [None] * len(steps))
        at = steps.index(metric.evaluation.step)
        row[at] = row[at] or metric
    samples, plugins = Samples(branch), MetricPlugins()
    rows: list[MetricRow] = []
    ordered = sorted(cells.items(), key=lambda item: (order.get(item[0][0], 99), item[0][:2]))
    for (key, name, _), values in ordered:
        task, last = known.get(key), _last(values)
        assert last is not None
        whose, called = ("", name) if key else plugins.of(name)
        shown, slot = (task.name, task.colour_slot) if task else (key or whose, NO_SLOT)
        measured = next(
            (metric for metric in values if metric is not None and metric.value is not None), None
        )
        where = samples.name(measured) if measured else last.dataset
        rows.append(
            MetricRow(shown, slot, called, where, last.higher_is_better, values, last.baseline, trend(values))
        )
    return steps, rows


def _of(metric: Metric) -> tuple[str, str, str]:
    return metric.task_key, metric.name, metric.dataset


def _last(values: Sequence[Metric | None]) -> Metric | None:
    return next((metric for metric in reversed(values) if metric is not None), None)


def trend(values: Sequence[Metric | None]) -> str:
    """Return how the last value compares with the one before: better, worse, same, changed (neither
    is good), or empty if unknown."""
    numbers = [metric.value for metric in values if metric is not None and metric.value is not None]
    last = _last(values)
    if len(numbers) < 2 or last is None:
        return ""
    if abs(numbers[-1] - numbers[-2]) <= 1e-3 * max(abs(numbers[-1]), abs(numbers[-2])):
        return "same"
    if last.higher_is_better is None:
        return "changed"
    return "better" if (numbers[-1] > numbers[-2]) == last.higher_is_better else "worse"


def reconstructions(branch: Branch) -> list[Artifact]:
    """Return the newest pictures of reconstructions of a branch, one for each dataset.

    Of a branch that has none yet, those of the checkpoint that it begins from.
    """
    newest: dict[str, Artifact] = {}
    pictures = Artifact.objects.filter(kind=RECONSTRUCTIONS).select_related("evaluation")
    found = pictures.filter(evaluation__branch=branch)
    begins = branch.head_id or branch.forked_from_id
    if begins is not None and not found.exists():
        found = pictures.filter(evaluation__checkpoint=begins)
    for picture in found.order_by("-evaluation__created_at", "-id")[:8]:
        newest.setdefault(picture.name, picture)
    last = max((picture.evaluation_id for picture in newest.values()), default=None)
    return [picture for picture in newest.values() if picture.evaluation_id == last]


def reconstructions_context(found: Branch, versions: dict[str, int] | None = None) -> dict[str, Any]:
    """Return what the reconstructions panel shows; versions are read first unless they are given."""
    topic = f"evaluations:{found.pk}"
    return {
        "versions": versions or live.versions([topic]),
        "topic": topic,
        "branch": found,
        "recon_url": reverse("evaluation:branch-reconstructions", args=[found.pk]),
        "pictures": reconstructions(found),
    }

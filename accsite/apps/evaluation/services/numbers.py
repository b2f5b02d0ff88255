"""What was measured as rows of metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from acc.results import MetricValue
from accsite.apps.evaluation.models import Evaluation, Metric
from accsite.numbers import if_finite

PER_CONCEPT = ("unified", "factored", "leak", "concept")


def task_metric(evaluation: Evaluation, metric: MetricValue, dataset: str) -> Metric:
    """Return the row of a number of a task, or of a metric that is a plugin; what is not finite becomes a reason."""
    value, reason = metric.value, metric.reason
    if value is not None and not math.isfinite(value):
        value, reason = None, reason or f"it came out as {value}"
    baseline = if_finite(metric.baseline)
    moderate, good = metric.thresholds or (None, None)
    return Metric(
        evaluation=evaluation,
        task_key=metric.task_key,
        name=metric.name,
        dataset=dataset,
        value=value,
        low=metric.low if value is not None else None,
        high=metric.high if value is not None else None,
        without=_rounded(metric.without if value is not None else ()),
        sample=metric.sample,
        reason=reason[:255],
        higher_is_better=metric.higher_is_better,
        baseline=baseline,
        chance=if_finite(metric.chance),
        moderate=moderate,
        good=good,
    )


def factoring_metrics(evaluation: Evaluation, found: Mapping[str, Any]) -> Iterator[Metric]:
    """Yield the rows of ``Factoring.as_dict()``: the headline, each concept's scores, and what leaks from where."""
    dataset: dict[str, str] = {"dataset": found["dataset"], "sample": found["sample"]}
    for name, value in found["headline"].items():
        yield _row(evaluation, name, value, **dataset)
    ufr = found["ufr"]
    for name in PER_CONCEPT:
        for concept, value in ufr[name].items():
            own = ufr["own"].get(concept) or ""
            yield _row(evaluation, f"ufr_{name}", value, **dataset, concept=concept, group=own)
    leakage = found["leakage"]
    for group, row in zip(leakage["groups"], leakage["within"], strict=True):
        for concept, skill in zip(leakage["concepts"], row, strict=True):
            value = {"value": skill, "reason": "" if skill is not None else leakage["reason"]}
            better = True if ufr["own"].get(concept) == group else None
            yield _row(
                evaluation,
                "skill_within",
                {**value, "higher_is_better": better},
                **dataset,
                concept=concept,
                group=group,
            )
    for kind in ("cleanness", "cleanness_principal"):
        for concept, each in found[kind].items():
            score = each["score"]["cleanness"]
            yield _row(evaluation, kind, score, **dataset, concept=concept, group=each["group"])


def _row(
    evaluation: Evaluation,
    name: str,
    value: Mapping[str, Any],
    *,
    dataset: str,
    sample: str,
    concept: str = "",
    group: str = "",
) -> Metric:
    number = value["value"]
    return Metric(
        evaluation=evaluation,
        name=name,
        concept=concept,
        group=group,
        dataset=dataset,
        value=number,
        low=value.get("low"),
        high=value.get("high"),
        chance=value.get("chance"),
        without=_rounded(value.get("without") or ()),
        sample=sample,
        reason=(value.get("reason") or ("" if number is not None else "it is not defined here"))[:255],
        higher_is_better=value.get("higher_is_better", True),
    )


def _rounded(values: Iterable[float]) -> list[float]:
    """Return values with six digits: far below what a group of images changes, and a third of the space."""
    return [float(f"{value:.6g}") for value in values]

"""What an evaluation finds, as plain numbers and images. Torch-free, so that the site can read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from acc.evaluation.metrics.cleanness import Cleanness
    from acc.evaluation.metrics.suite import MetricSuite

Pixels = NDArray[np.uint8]
Grade = Literal["good", "moderate", "poor", "better than trivial", "no better than trivial", "unclear", ""]

FROM_0_TO_1 = frozenset(
    {
        *("accuracy", "balanced_accuracy", "ssim", "r2"),
        *(
            "ufr",
            "ufr_matched",
            "unified",
            "factored",
            "transfer_all_dimensions",
            "explicitness",
            "explicitness_own",
        ),
        *("mig", "mig_corrected", "sap", "modularity", "dci_gam_disentanglement", "dci_gam_completeness"),
        *("mig_groups", "mig_corrected_groups", "sap_groups", "modularity_groups", "dci_gam_informativeness"),
        *("dci_gam_disentanglement_groups", "dci_gam_completeness_groups"),
    }
)
"""Metrics on a scale from 0, nothing, to 1, all, so that pages draw them on one axis. A value may lie below it."""


def graded(
    value: float | None,
    higher: bool | None,
    *,
    low: float | None = None,
    high: float | None = None,
    trivial: float | None = None,
    thresholds: tuple[float, float] | None = None,
) -> Grade:
    """Return the word for a value; empty where there is nothing to judge, or to judge by.

    higher: whether high values are good; None: neither is. low, high: its 95 % interval. trivial: what the best
    predictor scores that looks at no image. thresholds: from where on it is moderate, and from where on good.
    Who is no better than that predictor is not good, whatever the thresholds say. Where the two ends of the interval
    are worth different words, the value is unclear; where even its value is not above the trivial one, it is said.
    """
    if value is None or higher is None or (trivial is None and thresholds is None):
        return ""
    sign = 1 if higher else -1

    def word(number: float) -> Grade:
        if trivial is not None and sign * number <= sign * trivial:
            return "no better than trivial"
        if thresholds is None:
            return "better than trivial"
        moderate, good = thresholds
        if sign * number > sign * good:
            return "good"
        return "moderate" if sign * number > sign * moderate else "poor"

    found = word(value)
    if found == "no better than trivial":
        return found
    ends = {word(end) for end in (low, high) if end is not None}
    return found if ends <= {found} else "unclear"


def recorded_name(metric: str, number: str) -> str:
    """Return how a number of a metric that is a plugin is called among all that was measured: ``MyMetric.score``."""
    return f"{metric}.{number}"


def of_plugin(name: str) -> tuple[str, str]:
    """Return the class of the metric that a number is of, '' if it is no plugin's, and what it is called there."""
    metric, dot, number = name.partition(".")
    return (metric, number) if dot else ("", name)


@dataclass(frozen=True)
class MetricValue:
    """One measured number, or the reason why there is none.

    baseline: the same metric of the best predictor that looks at no image, where that is known. thresholds:
    from where on the value is moderate, and from where on good; None where neither high nor low is good. low,
    high: its 95 % interval over held-out images, by the jackknife; None where it is unknown. without: the values
    without each group of images; those of two checkpoints with the same ``sample`` tell how sure their difference is.
    chance: what unrelated labels give, of a number of a whole representation, whose task_key is empty.
    """

    task_key: str
    name: str
    value: float | None
    higher_is_better: bool | None
    reason: str = ""
    baseline: float | None = None
    thresholds: tuple[float, float] | None = None
    low: float | None = None
    high: float | None = None
    without: tuple[float, ...] = ()
    sample: str = ""
    chance: float | None = None

    @property
    def grade(self) -> Grade:
        """The word for its value, see ``graded``."""
        return graded(
            self.value,
            self.higher_is_better,
            low=self.low,
            high=self.high,
            trivial=self.chance if self.baseline is None else self.baseline,
            thresholds=self.thresholds,
        )


@dataclass(frozen=True)
class ReconstructionGrid:
    """Fixed images of a dataset beside what the model makes of them.

    indices: row numbers in the dataset; inputs, outputs: uint8 ``(N, C, H, W)``; rows: which images they are, in
    words.
    """

    dataset_key: str
    indices: tuple[int, ...]
    inputs: Pixels
    outputs: Pixels
    rows: str = ""


@dataclass(frozen=True)
class LatentAxis:
    """Where in the latent something is looked at: a factor group, or one dimension of it.

    group: its name, empty for a dimension that belongs to none; start, end: the range of dimensions;
    direction: ``principal``, ``pattern`` (of ``concept``) or ``dimension``.
    """

    group: str
    start: int
    end: int
    direction: str
    concept: str = ""

    @property
    def name(self) -> str:
        """What a person calls it: ``thickness``, or ``thickness[6]`` for its dimension 6."""
        return self.group if self.direction != "dimension" else f"{self.group}[{self.start}]"


@dataclass(frozen=True, eq=False)
class Traversal:
    """What the decoder draws while one axis of the latent moves and the rest stays.

    indices: rows of the S seed images, the same for every checkpoint; seeds uint8 ``(S, C, H, W)``; images
    uint8 ``(S, T, C, H, W)``; values ``(T,)`` the position of each step and starts ``(S,)`` of each seed, in
    units of the latent. Empty, with a reason, where there is no direction to go.
    """

    dataset_key: str
    axis: LatentAxis
    indices: tuple[int, ...]
    seeds: Pixels
    images: Pixels
    values: NDArray[np.float64]
    starts: NDArray[np.float64]
    reason: str = ""


@dataclass(frozen=True, eq=False)
class SortedRows:
    """Images from one end of an order, the most extreme first.

    indices: rows ``(K,)`` of the dataset; activations ``(K,)``; images uint8 ``(K, C, H, W)``; targets:
    name -> ``(K,)``.
    """

    indices: tuple[int, ...]
    activations: NDArray[np.float64]
    images: Pixels
    targets: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class SortedImages:
    """The images with the lowest and the highest activation along one axis; None, with a reason, where none."""

    dataset_key: str
    axis: LatentAxis
    lowest: SortedRows | None
    highest: SortedRows | None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """How much each place of the picture was drawn from each slot.

    indices: rows of the N images; inputs, outputs uint8 ``(N, C, H, W)``; maps float32 ``(N, F, h, w)``, which
    sum to 1 over the F ``slots``.
    """

    dataset_key: str
    slots: tuple[str, ...]
    indices: tuple[int, ...]
    inputs: Pixels
    outputs: Pixels
    maps: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TraversalScore:
    """Cleanness of the traversal of the group that holds ``concept``, over ``seeds`` images.

    direction: ``pattern`` of the concept's probe, or ``principal``, which knows no label.
    """

    concept: str
    group: str
    direction: str
    seeds: int
    score: Cleanness


@dataclass(frozen=True, eq=False)
class Factoring:
    """How well the factors came apart on one dataset.

    n: rows that were encoded; rows: which they were, in words; sample: a name for these rows and what was asked of
    them, by which results can be told that may be compared pair by pair. cells: "concept|context" -> level of the
    context -> rows of the dataset, spread evenly over the concept's values, to show what a cell is made of. cleanness:
    concept -> of the traversal along its pattern; cleanness_principal: along its group's first principal
    component. unmeasured: concept -> why its traversal has no cleanness.
    """

    dataset_key: str
    n: int
    rows: str
    sample: str
    suite: MetricSuite
    cells: Mapping[str, Mapping[str, tuple[int, ...]]]
    cleanness: Mapping[str, TraversalScore]
    cleanness_principal: Mapping[str, TraversalScore]
    unmeasured: Mapping[str, str]

    @property
    def ufr(self) -> float:
        """The headline score; NaN where it is undefined."""
        return self.suite.ufr.value.value

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON types: NaN is None, and its reason stands beside it."""
        from acc.evaluation.metrics.values import jsonable  # brings torch, as whoever measured has it

        return self.suite.as_dict() | {
            "dataset": self.dataset_key,
            "rows": self.rows,
            "sample": self.sample,
            "cells": jsonable(self.cells),
            "cleanness": jsonable(self.cleanness),
            "cleanness_principal": jsonable(self.cleanness_principal),
            "unmeasured": dict(self.unmeasured),
        }


@dataclass(frozen=True, eq=False)
class CellImages:
    """Images ``(K, C, H, W) uint8`` of the rows that cells of the matrix are made of."""

    indices: tuple[int, ...]
    images: Pixels


@dataclass(frozen=True)
class EvalResult:
    """What was measured of a checkpoint. step: its global step.

    dataset_key: the dataset that traversals and all after them looked at; missing: part of the suite that was
    asked for -> why it is not there. rows: dataset key -> which of its rows the metrics are of, in words. custom: the
    numbers of metrics that are plugins.
    """

    step: int
    metrics: list[MetricValue] = field(default_factory=list)
    reconstructions: list[ReconstructionGrid] = field(default_factory=list)
    dataset_key: str = ""
    traversals: list[Traversal] = field(default_factory=list)
    sorts: list[SortedImages] = field(default_factory=list)
    attention: AttentionMaps | None = None
    factoring: Factoring | None = None
    custom: list[MetricValue] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    rows: dict[str, str] = field(default_factory=dict)

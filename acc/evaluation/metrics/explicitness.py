"""Explicitness: how well a linear discriminant of one half ranks the samples of each class on the other.

Source: Ridgeway and Mozer 2018 (there with logistic regression).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acc.evaluation.metrics.moments import RIDGE
from acc.evaluation.metrics.prepared import Column, Prepared
from acc.evaluation.metrics.values import Array, Value, mean_of_defined, undefined

CHANCE = 0.5


@dataclass(frozen=True, eq=False)
class Explicitness:
    """Mean one-against-rest AUC: ``table`` (F,) from all dimensions, ``own_table`` (F,) from the own group."""

    explicitness: Value
    own_explicitness: Value
    table: Array
    own_table: Array


def explicitness(prepared: Prepared) -> Explicitness:
    """Return explicitness of all dimensions and of own groups; real factors by their context levels."""
    table = np.full(len(prepared.columns), np.nan)
    own_table = table.copy()
    if not prepared.too_few and prepared.alive:
        views = prepared.views
        asked = [(index, 0) for index in prepared.alive]
        asked += [(index, home + 1) for index in prepared.alive if (home := prepared.own[index]) is not None]
        found = _aucs(prepared, [(prepared.columns[index], views[view]) for index, view in asked])
        for (index, view), value in zip(asked, found, strict=True):
            (own_table if view else table)[index] = value
    missing = (
        prepared.too_few or ("" if prepared.alive else "no factor varies") or "no class is on both halves"
    )
    return Explicitness(
        _mean(table, missing),
        _mean(own_table, prepared.no_groups or "no group is declared to hold a factor"),
        table,
        own_table,
    )


def _aucs(prepared: Prepared, asked: Sequence[tuple[Column, Tensor]]) -> list[float]:
    """Return for each (column, dimensions) the mean AUC over the column's levels; NaN below two levels."""
    train, test = prepared.halves
    mean = prepared.z[train].mean(0)
    fitted, tested = prepared.z[train] - mean, prepared.z[test] - mean
    covariance = fitted.T @ fitted / len(fitted)
    weights, offsets, positive, widths = [], [], [], []
    for column, dims in asked:
        weight, offset, levels = _discriminant(fitted, covariance, column, dims, (train, test))
        weights.append(weight)
        offsets.append(offset)
        positive.append(column.level[test][:, None] == levels)
        widths.append(len(levels))
    # One product and one sort for all: each is faster than many small ones.
    score = (tested @ torch.cat(weights, dim=1) + torch.cat(offsets)).split(widths, dim=1)
    areas = auc(torch.cat([_against_rest(part) for part in score], dim=1), torch.cat(positive, dim=1))
    return [float(part.mean()) if len(part) > 1 else math.nan for part in areas.split(widths)]


def _discriminant(
    fitted: Tensor, covariance: Tensor, column: Column, dims: Tensor, halves: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return weights (D, C), zero outside ``dims``, offsets (C,), and the C levels present on both halves."""
    classes = len(column.level_names)
    train, test = (column.level[half] for half in halves)
    count = torch.bincount(train, minlength=classes)
    levels = ((count > 0) & (torch.bincount(test, minlength=classes) > 0)).nonzero()[:, 0]
    sums = torch.zeros(classes, fitted.shape[1], dtype=fitted.dtype, device=fitted.device)
    means = sums.index_add_(0, train, fitted)[:, dims] / count.clamp(min=1)[:, None]
    within = covariance[dims[:, None], dims[None, :]] - (means.T * (count / len(fitted))) @ means
    ridge = RIDGE * torch.eye(len(dims), dtype=within.dtype, device=within.device)
    weight = torch.cholesky_solve(means[levels].T, torch.linalg.cholesky(within + ridge))
    wide = torch.zeros(fitted.shape[1], len(levels), dtype=weight.dtype, device=weight.device)
    wide[dims] = weight
    return wide, -0.5 * (means[levels].T * weight).sum(0), levels


def _against_rest(score: Tensor) -> Tensor:
    """Return log posterior odds (n, C) of each class against the rest; unlike the posterior, they never saturate."""
    chosen = torch.zeros_like(score, dtype=torch.bool).scatter_(1, score.argmax(1, keepdim=True), True)
    everything = score.logsumexp(1, keepdim=True)
    # The best class must be left out of the sum, not taken from it: the difference would have no digits left.
    without_best = score.masked_fill(chosen, -torch.inf).logsumexp(1, keepdim=True)
    rest = torch.where(chosen, without_best, everything + torch.log1p(-(score - everything).exp()))
    return score - rest


def auc(score: Tensor, positive: Tensor) -> Tensor:
    """Return the area under the ROC curve of each column of score (n, C), positive (n, C); ties count half."""
    columns = score.T.contiguous()
    ordered, place = columns.sort(dim=1)
    hits = positive.T.gather(1, place)
    rank = torch.arange(1, len(score) + 1, dtype=torch.float64, device=score.device).expand_as(ordered)
    if bool((ordered[:, 1:] == ordered[:, :-1]).any()):
        below, upto = torch.searchsorted(ordered, ordered), torch.searchsorted(ordered, ordered, right=True)
        rank = (below + upto + 1).to(torch.float64) / 2
    n = hits.sum(1).to(torch.float64)
    total = (rank * hits).sum(1)
    return (total - n * (n + 1) / 2) / (n * (len(score) - n))


def _mean(table: Array, missing: str) -> Value:
    if np.isnan(table).all():
        return undefined(missing)
    return Value(
        float(mean_of_defined(table, axis=0)),
        chance=CHANCE,
        detail={"estimator": "linear discriminant, held-out half"},
    )

"""Explicitness: how well a linear discriminant of one half ranks the samples of each class on the other.

Source: Ridgeway and Mozer 2018 (there with logistic regression).
"""

from __future__ import annotations

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
    views = prepared.views
    if not prepared.too_few:
        for index in prepared.alive:
            column, home = prepared.columns[index], prepared.own[index]
            for target, view in ((table, 0), (own_table, home + 1 if home is not None else None)):
                if view is not None:
                    target[index] = _auc_of(prepared, column, views[view])
    missing = (
        prepared.too_few or ("" if prepared.alive else "no factor varies") or "no class is on both halves"
    )
    return Explicitness(
        _mean(table, missing),
        _mean(own_table, prepared.no_groups or "no group is declared to hold a factor"),
        table,
        own_table,
    )


def _auc_of(prepared: Prepared, column: Column, dims: Tensor) -> float:
    """Return the mean AUC over the column's levels of the discriminant of ``dims``; NaN below two levels."""
    classes = len(column.level_names)
    train, test = prepared.halves
    fitted, tested = column.level[train], column.level[test]
    count = torch.bincount(fitted, minlength=classes).to(prepared.z.dtype)
    there = (count > 0) & (torch.bincount(tested, minlength=classes) > 0)
    if int(there.sum()) < 2:
        return float("nan")
    z, mean = prepared.z[train][:, dims], prepared.z[train][:, dims].mean(0)
    means = torch.zeros(classes, len(dims), dtype=z.dtype, device=z.device).index_add_(0, fitted, z - mean)
    means /= count.clamp(min=1)[:, None]
    within = (z - mean).T @ (z - mean) / len(z) - (means.T * (count / len(z))) @ means
    eye = torch.eye(len(dims), dtype=z.dtype, device=z.device)
    weight = torch.cholesky_solve(means[there].T, torch.linalg.cholesky(within + RIDGE * eye))
    offset = -0.5 * (means[there].T * weight).sum(0)
    score = (prepared.z[test][:, dims] - mean) @ weight + offset
    positive = tested[:, None] == there.nonzero()[:, 0]
    return float(auc(_against_rest(score), positive).mean())


def _against_rest(score: Tensor) -> Tensor:
    """Return log posterior odds of each class against the rest; unlike the posterior, it never saturates."""
    classes = score.shape[1]
    others = [torch.cat([score[:, :c], score[:, c + 1 :]], dim=1).logsumexp(1) for c in range(classes)]
    return score - torch.stack(others, dim=1)


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

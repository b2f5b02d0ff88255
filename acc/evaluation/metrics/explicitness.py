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
    if not prepared.too_few:
        halves, views = _Halves(prepared), prepared.views
        for index in prepared.alive:
            column, home = prepared.columns[index], prepared.own[index]
            table[index] = halves.auc_of(column, views[0])
            if home is not None:
                own_table[index] = halves.auc_of(column, views[home + 1])
    missing = (
        prepared.too_few or ("" if prepared.alive else "no factor varies") or "no class is on both halves"
    )
    return Explicitness(
        _mean(table, missing),
        _mean(own_table, prepared.no_groups or "no group is declared to hold a factor"),
        table,
        own_table,
    )


class _Halves:
    """The half to fit on, with its moments, and the half to test on; shared by all concepts."""

    def __init__(self, prepared: Prepared) -> None:
        self.train, self.test = prepared.halves
        fitted = prepared.z[self.train]
        mean = fitted.mean(0)
        self.fitted, self.tested = fitted - mean, prepared.z[self.test] - mean
        self.covariance = self.fitted.T @ self.fitted / len(fitted)

    def auc_of(self, column: Column, dims: Tensor) -> float:
        """Return the mean AUC over the column's levels of the discriminant of ``dims``; NaN below two levels."""
        classes, n = len(column.level_names), len(self.fitted)
        fitted, tested = column.level[self.train], column.level[self.test]
        count = torch.bincount(fitted, minlength=classes)
        there = ((count > 0) & (torch.bincount(tested, minlength=classes) > 0)).nonzero()[:, 0]
        if len(there) < 2:
            return float("nan")
        sums = torch.zeros(classes, self.fitted.shape[1], dtype=self.fitted.dtype, device=count.device)
        means = sums.index_add_(0, fitted, self.fitted)[:, dims] / count.clamp(min=1)[:, None]
        within = self.covariance[dims[:, None], dims[None, :]] - (means.T * (count / n)) @ means
        ridge = RIDGE * torch.eye(len(dims), dtype=within.dtype, device=within.device)
        weight = torch.cholesky_solve(means[there].T, torch.linalg.cholesky(within + ridge))
        # Weights of all dimensions, zero outside the view, spare a copy of the view's latents.
        wide = torch.zeros(self.tested.shape[1], len(there), dtype=weight.dtype, device=weight.device)
        wide[dims] = weight
        score = self.tested @ wide - 0.5 * (means[there].T * weight).sum(0)
        return float(auc(_against_rest(score), tested[:, None] == there).mean())


def _against_rest(score: Tensor) -> Tensor:
    """Return log posterior odds of each class against the rest; unlike the posterior, it never saturates."""
    itself = torch.eye(score.shape[1], dtype=torch.bool, device=score.device)
    return score - score[:, None, :].masked_fill(itself, -torch.inf).logsumexp(2)


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

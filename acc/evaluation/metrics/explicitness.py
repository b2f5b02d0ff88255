"""Explicitness: how well a linear discriminant of one half ranks the samples of each class on the other.

Source: Ridgeway and Mozer 2018 (there with logistic regression).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from acc.evaluation.metrics.moments import RIDGE
from acc.evaluation.metrics.prepared import Column, Prepared
from acc.evaluation.metrics.values import Array, Value, mean_of_defined, undefined

CHANCE = 0.5
SMALLEST_SHARE = 1e-280  # of the best class: below it, odds are told by their logarithm


@dataclass(frozen=True, eq=False)
class Explicitness:
    """Mean one-against-rest AUC: ``table`` (F,) from all dimensions, ``own_table`` (F,) from the own group."""

    explicitness: Value
    own_explicitness: Value
    table: Array
    own_table: Array


def explicitness(prepared: Prepared) -> Explicitness:
    """Return explicitness of all dimensions and of own groups; real factors by their context levels.

    Without a group of samples the discriminants stay, and the group is left out of the test.
    """
    table = np.full(len(prepared.columns), np.nan)
    own_table = table.copy()
    if not prepared.too_few and prepared.alive:
        views = prepared.views
        asked = [(index, 0) for index in prepared.alive]
        asked += [(index, home + 1) for index in prepared.alive if (home := prepared.own[index]) is not None]
        found = _aucs(prepared, [(prepared.columns[index], views[view]) for index, view in asked])
        for (index, view), value in zip(asked, found, strict=True):
            (own_table if view else table)[index] = value
    missing = prepared.no_factor or "no class is on both halves"
    return Explicitness(
        _mean(prepared, table, missing),
        _mean(
            prepared,
            own_table,
            prepared.no_groups or prepared.no_factor or "no group is declared to hold a factor",
        ),
        table,
        own_table,
    )


def _aucs(prepared: Prepared, asked: Sequence[tuple[Column, Tensor]]) -> list[float]:
    """Return for each (column, dimensions) the mean AUC over the column's levels; NaN below two levels."""
    _, test = prepared.halves
    found = [math.nan] * len(asked)
    for places, present, odds in prepared.once("odds", lambda whole: _odds(whole, asked)):
        positive = torch.cat(
            [
                asked[place][0].level[test][:, None] == there
                for place, there in zip(places, present, strict=True)
            ],
            dim=1,
        )
        areas = auc(prepared.rows_of(odds)[test], positive)
        for place, area in zip(places, areas.reshape(len(places), -1).nanmean(1).tolist(), strict=True):
            found[place] = area
    return found


def _odds(
    prepared: Prepared, asked: Sequence[tuple[Column, Tensor]]
) -> list[tuple[list[int], list[Tensor], Tensor]]:
    """Return what ranks samples by the odds of each class against the rest.

    For those of ``asked`` with equally many levels their places, the levels present on both halves, and the odds
    (N, places x levels), which stay 0 on the half that is fitted on.
    """
    train, test = prepared.halves
    mean = prepared.z[train].mean(0)
    fitted, tested = prepared.z[train] - mean, prepared.z[test] - mean
    covariance = fitted.T @ fitted / len(fitted)
    levels = {
        column.name: _Levels.of(prepared.columns[index], fitted, (train, test))
        for index, column in enumerate(prepared.columns)
        if column.alive
    }
    alike: dict[int, list[int]] = {}
    for place, (column, _) in enumerate(asked):
        alike.setdefault(len(levels[column.name].present), []).append(place)
    found = []
    for width, places in alike.items():
        if width < 2:
            continue
        chosen = [(levels[asked[place][0].name], asked[place][1]) for place in places]
        probes = [_discriminant(one, covariance, dims, len(fitted)) for one, dims in chosen]
        # One product and one sort for all: each is faster than many small ones.
        score = torch.addmm(torch.cat([b for _, b in probes]), tested, torch.cat([w for w, _ in probes], 1))
        odds = torch.zeros(len(prepared.z), score.shape[1], dtype=score.dtype, device=score.device)
        odds[test] = _against_rest(score.reshape(-1, len(places), width)).flatten(1)
        found.append((places, [one.present for one, _ in chosen], odds))
    return found


@dataclass(frozen=True, eq=False)
class _Levels:
    """What all discriminants of one column share.

    ``present`` (C,) the levels on both halves; ``means`` (levels, D) and ``count`` (levels,) on the fitted half.
    """

    present: Tensor
    means: Tensor
    count: Tensor

    @classmethod
    def of(cls, column: Column, fitted: Tensor, halves: tuple[Tensor, Tensor]) -> Self:
        """Return what ``column`` looks like on both halves; fitted (n, D) centred."""
        classes = len(column.level_names)
        train, test = (column.level[half] for half in halves)
        count = torch.bincount(train, minlength=classes)
        present = ((count > 0) & (torch.bincount(test, minlength=classes) > 0)).nonzero()[:, 0]
        is_fitted = train == torch.arange(classes, device=train.device)[:, None]
        means = is_fitted.to(fitted.dtype) @ fitted / count.clamp(min=1)[:, None]
        return cls(present, means, count)


def _discriminant(levels: _Levels, covariance: Tensor, dims: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return weights (D, C), zero outside ``dims``, and offsets (C,), fitted on ``n`` samples."""
    means = levels.means[:, dims]
    within = covariance[dims[:, None], dims[None, :]] - (means.T * (levels.count / n)) @ means
    ridge = RIDGE * torch.eye(len(dims), dtype=within.dtype, device=within.device)
    there = means[levels.present]
    weight = torch.cholesky_solve(there.T, torch.linalg.cholesky(within + ridge))
    wide = torch.zeros(len(covariance), len(there), dtype=weight.dtype, device=weight.device)
    wide[dims] = weight
    return wide, -0.5 * (there.T * weight).sum(0)


def _against_rest(score: Tensor) -> Tensor:
    """Return what ranks samples by the odds of each class against the rest; score (n, K, C), C >= 2.

    The odds themselves, or, where these leave the range of float64, their logarithm. Unlike the posterior,
    neither saturates.
    """
    best = score.amax(2, keepdim=True)
    share = (score - best).exp()
    others = 1 - torch.eye(score.shape[2], dtype=score.dtype, device=score.device)
    rest = share @ others  # a sum without the class, not a difference: that would have no digits left
    if bool(share.amin() > SMALLEST_SHARE):
        return share / rest
    chosen = torch.zeros_like(score, dtype=torch.bool).scatter_(2, score.argmax(2, keepdim=True), True)
    without_best = score.masked_fill(chosen, -torch.inf).logsumexp(2, keepdim=True)
    return score - torch.where(chosen, without_best, best + rest.log())


def auc(score: Tensor, positive: Tensor) -> Tensor:
    """Return the area under the ROC curve of each column of score (n, C), positive (n, C); ties count half."""
    columns = score.T.contiguous()
    place = _order(columns)
    ordered = columns.gather(1, place)
    hits = positive.T.gather(1, place).to(torch.float64)
    rank = torch.arange(1, len(score) + 1, dtype=torch.float64, device=score.device)
    if bool((ordered[:, 1:] == ordered[:, :-1]).any()):
        below, upto = torch.searchsorted(ordered, ordered), torch.searchsorted(ordered, ordered, right=True)
        total = ((below + upto + 1).to(torch.float64) / 2 * hits).sum(1)
    else:
        total = hits @ rank
    n = hits.sum(1)
    return (total - n * (n + 1) / 2) / (n * (len(score) - n))


def _order(rows: Tensor) -> Tensor:
    """Return the order of each row's values, ties in any order; on a CPU by NumPy, several times as fast."""
    if rows.device.type == "cpu":
        return torch.from_numpy(np.argsort(rows.numpy(), axis=1))
    return rows.argsort(dim=1)


def _mean(prepared: Prepared, table: Array, missing: str) -> Value:
    if np.isnan(table).all():
        return undefined(missing)
    if prepared.nothing:
        return Value(
            0.0, prepared.nothing, chance=CHANCE
        )  # its ranks are all ties: by the area itself, chance
    return Value(
        float(mean_of_defined(table, axis=0)),
        chance=CHANCE,
        detail={"estimator": "linear discriminant, held-out half"},
    )

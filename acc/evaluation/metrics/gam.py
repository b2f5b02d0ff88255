"""The additive model behind ``dci_gam``: a step function of each dimension, all factors in one solve."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from acc.evaluation.metrics.classes import balanced_skill
from acc.evaluation.metrics.prepared import Column, Prepared
from acc.evaluation.metrics.values import Array

BINS = 10
MAX_DIMENSIONS = 1024
RIDGE = 0.01  # of the mean variance of the indicator columns
# Whom the model is fitted on changes its skill by chance alone, in both of two samples at once: left out of one after
# the other, each counts it, twice the variance that it has.
REFITTED = 0.5**0.5


def fit_additive(prepared: Prepared) -> tuple[Array, Array]:
    """Return importance (D, F) and held-out skill (F,); dead factors are NaN, inactive dimensions 0.

    Importance is the variance of a dimension's component function over the factor's variance, fitted on one
    half of the samples; skill is 1 - MSE / variance or chance-corrected balanced accuracy on the other, not
    below 0. Without a group of samples the edges of bins stay, importance is fitted anew, and what that changes of
    the skill counts by ``REFITTED``.
    """
    train, test = prepared.halves
    active = prepared.active.nonzero()[:, 0]
    importance = np.zeros((len(prepared.active), len(prepared.columns)))
    skill = np.full(len(prepared.columns), np.nan)
    importance[:, [not column.alive for column in prepared.columns]] = np.nan
    columns = [prepared.columns[i] for i in prepared.alive]
    if len(active) == 0:
        skill[list(prepared.alive)] = 0.0
        return importance, skill
    code = prepared.rows_of(prepared.once("decile codes", _deciles))
    model = _fitted(prepared, code)
    components = model.component_variances(len(active))
    kept = (
        prepared.once("additive model", lambda whole: _fitted(whole, _deciles(whole)))
        if prepared.whole
        else model
    )
    held = _indicators(code[test])
    predicted = [each.predict(held) for each in ([kept, model] if prepared.whole else [model])]
    at_fit = prepared.once("classes", _shares)
    at = 0
    for index, column in zip(prepared.alive, columns, strict=True):
        target = _target(column, prepared.z.dtype)[train]
        part = slice(at, at + target.shape[1])
        at = part.stop
        variance = target.var(0, correction=0).sum().clamp(min=1e-12)
        importance[active.cpu().numpy(), index] = (components[:, part].sum(1) / variance).cpu().numpy()
        skills = [_skill(column, each[:, part], at_fit[index], test) for each in predicted]
        skill[index] = skills[0] + REFITTED * (skills[-1] - skills[0])
    return importance, skill


def _deciles(prepared: Prepared) -> Tensor:
    """Return the codes of all samples; the edges are deciles of the half that is fitted on."""
    z = prepared.z[:, prepared.active]
    return _codes(z, _edges(z[prepared.halves[0]]))


def _fitted(prepared: Prepared, code: Tensor) -> _Additive:
    train, _ = prepared.halves
    targets = [_target(prepared.columns[i], prepared.z.dtype)[train] for i in prepared.alive]
    return _Additive(_indicators(code[train]), torch.cat(targets, dim=1))


class _Additive:
    """Ridge regression of targets (n, Q) on indicator columns (n, B), both centred."""

    def __init__(self, indicators: Tensor, targets: Tensor) -> None:
        # Counts up to 2^24 are exact in float32, and its matrix product is twice as fast.
        n = len(indicators)
        self.mean = targets.mean(0)
        gram = (indicators.T @ indicators).to(torch.float64) / n
        self.share = gram.diagonal()
        self.covariance = gram - self.share[:, None] * self.share[None, :]
        product = (indicators.T @ (targets - self.mean).to(torch.float32)).to(torch.float64) / n
        ridge = RIDGE * self.covariance.diagonal().mean().clamp(min=1e-6)
        eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        self.weight = torch.cholesky_solve(product, torch.linalg.cholesky(self.covariance + ridge * eye))

    def predict(self, indicators: Tensor) -> Tensor:
        """Return predictions (m, Q)."""
        return (
            (indicators @ self.weight.to(torch.float32)).to(torch.float64)
            + self.mean
            - self.share @ self.weight
        )

    def component_variances(self, dimensions: int) -> Tensor:
        """Return the variance of each dimension's step function (D, Q)."""
        own = torch.arange(dimensions, device=self.weight.device)
        blocks = self.covariance.reshape(dimensions, BINS, dimensions, BINS)[own, :, own]
        weight = self.weight.reshape(dimensions, BINS, -1)
        return (weight * (blocks @ weight)).sum(1).clamp(min=0)


def _target(column: Column, dtype: torch.dtype) -> Tensor:
    if column.kind == "cont":
        return column.values[:, None]
    return functional.one_hot(column.values, column.classes).to(dtype)


def _edges(z: Tensor) -> Tensor:
    """Return the inner decile edges of each dimension (BINS - 1, D)."""
    at = [step * len(z) // BINS for step in range(1, BINS)]
    # Nothing but these places need be in order, which numpy can be asked for.
    ordered = np.partition(z.T.contiguous().cpu().numpy(), at, axis=1)[:, at]
    return torch.from_numpy(np.ascontiguousarray(ordered.T)).to(z.device)


def _codes(z: Tensor, edges: Tensor) -> Tensor:
    """Return the column (n, D), of D * BINS, that is one for the bin of each value; tied edges leave bins empty."""
    above = torch.zeros(z.shape, dtype=torch.uint8, device=z.device)
    for edge in edges:
        above += (z > edge).view(torch.uint8)
    return above.to(torch.int64) + torch.arange(z.shape[1], device=z.device) * BINS


def _indicators(code: Tensor) -> Tensor:
    """Return (n, D * BINS) float32 with a one in each column of codes (n, D)."""
    flat = torch.zeros(len(code), code.shape[1] * BINS, dtype=torch.float32, device=code.device)
    return flat.scatter_(1, code, 1.0)


def _shares(prepared: Prepared) -> list[Tensor]:
    """Return for each factor the share (C,) of each class in the half that is fitted on; empty for real factors."""
    train, _ = prepared.halves
    return [
        torch.bincount(column.values[train], minlength=column.classes).to(prepared.z.dtype) / len(train)
        if column.kind == "cat"
        else column.values[:0]
        for column in prepared.columns
    ]


def _skill(column: Column, predicted: Tensor, share: Tensor, test: Tensor) -> float:
    truth = column.values[test]
    if column.kind == "cont":
        error = (truth - predicted[:, 0]).square().mean() / truth.var(correction=0).clamp(min=1e-12)
        return max(0.0, 1 - float(error))
    # Dividing by the class's share gives every class the same prior, as balanced accuracy asks for.
    score = torch.where(share > 0, predicted / share.clamp(min=1e-12), -torch.inf)
    return max(0.0, balanced_skill(score.max(1).indices, truth, column.classes))

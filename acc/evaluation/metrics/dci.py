"""Disentanglement, completeness and informativeness from the importance of each dimension for each factor.

Source: Eastwood and Williams 2018. Importances come from an additive model (``dci_gam``) or, as the slow
cross-check, from gradient-boosted trees (``dci_trees``): two estimators, never to be mixed in one comparison.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from acc.evaluation.metrics.gam import MAX_DIMENSIONS, fit_additive
from acc.evaluation.metrics.jackknife import smoothed
from acc.evaluation.metrics.prepared import Prepared
from acc.evaluation.metrics.trees import fit_trees
from acc.evaluation.metrics.values import Array, Value, mean_of_defined, nothing_there, undefined

CONCENTRATIONS = ("disentanglement", "completeness", "group_disentanglement", "group_completeness")


@dataclass(frozen=True, eq=False)
class Dci:
    """DCI of single dimensions, and of groups where there are any.

    importance (D, F), NaN for dead factors; informative (F,) held-out skill; ``estimator`` made them.
    """

    estimator: str
    disentanglement: Value
    completeness: Value
    informativeness: Value
    group_disentanglement: Value
    group_completeness: Value
    importance: Array
    informative: Array


def dci_gam(prepared: Prepared) -> Dci:
    """Return DCI with additive-model importances; seconds even for 64 dimensions."""
    active = int(prepared.active.sum())
    if active > MAX_DIMENSIONS:
        reason = f"{active} active dimensions; the additive model takes at most {MAX_DIMENSIONS}"
        return _nothing(prepared, "dci_gam", reason)
    return _summarise(prepared, "dci_gam", fit_additive)


def dci_trees(prepared: Prepared) -> Dci:
    """Return DCI with gradient-boosted trees, in minutes.

    Trees break ties between copies greedily, so completeness comes out high.
    """
    return _summarise(prepared, "dci_trees", fit_trees)


def concentration(importance: Array) -> Array:
    """Return 1 - normalised entropy of each row of (..., width): 1 if one entry has all, 0 if all are equal.

    Rows of zeros are NaN; rows of one entry are concentrated by definition.
    """
    width = importance.shape[-1]
    total = importance.sum(axis=-1, keepdims=True)
    share = importance / np.where(total > 0, total, 1.0)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=-1)
    scaled = 1 - entropy / math.log(width) if width > 1 else np.ones_like(entropy)
    return np.where(total[..., 0] > 0, scaled, np.nan)


def _summarise(prepared: Prepared, estimator: str, fit: Callable[[Prepared], tuple[Array, Array]]) -> Dci:
    if prepared.no_factor:
        return _nothing(prepared, estimator, prepared.no_factor)
    importance, informative = fit(prepared)
    alive = list(prepared.alive)
    table = importance[:, alive]
    active = prepared.active.cpu().numpy()
    single = table[active]
    grouped = _group_sums(prepared, table)
    return Dci(
        estimator,
        _weighted(prepared, single, estimator, "dimension"),
        _weighted(prepared, single.T, estimator, "factor"),
        Value(float(mean_of_defined(informative, axis=0)), prepared.nothing, detail={"estimator": estimator}),
        _weighted(prepared, grouped, estimator, "group")
        if grouped is not None
        else undefined(prepared.no_groups),
        _weighted(prepared, grouped.T, estimator, "factor")
        if grouped is not None
        else undefined(prepared.no_groups),
        importance,
        informative,
    )


def dci_without_each(prepared: Prepared, found: Sequence[Dci]) -> dict[str, Array]:
    """Return the scores (1 + J,) of what was found of all samples and without each group, as ``smoothed`` has them."""
    alive, active = list(prepared.alive), prepared.active.nonzero()[:, 0].tolist()
    table = np.stack([each.importance for each in found])[:, :, alive]
    several = len(alive) > 1
    scores = {"completeness": smoothed(lambda t: _mean_concentration(t[:, active].swapaxes(1, 2)), table)}
    if several:
        scores["disentanglement"] = smoothed(lambda t: _mean_concentration(t[:, active]), table)
    if prepared.groups is not None:
        sums = np.stack([table[:, list(dims)].sum(axis=1) for dims in prepared.groups.dims], axis=1)
        scores["group_completeness"] = smoothed(lambda t: _mean_concentration(t.swapaxes(1, 2)), sums)
        if several:
            scores["group_disentanglement"] = smoothed(_mean_concentration, sums)
    return scores


def _mean_concentration(importance: Array) -> Array:
    """Return the mean concentration of rows (..., rows, width) weighted by their importance."""
    importance = np.maximum(importance, 0)
    weight = importance.sum(axis=-1)
    total = weight.sum(axis=-1)
    found: Array = np.nansum(concentration(importance) * weight, axis=-1) / np.where(total > 0, total, 1.0)
    return found


def _group_sums(prepared: Prepared, table: Array) -> Array | None:
    if prepared.groups is None:
        return None
    return np.stack([table[list(dims)].sum(axis=0) for dims in prepared.groups.dims])


def _weighted(prepared: Prepared, importance: Array, estimator: str, rows: str) -> Value:
    """Return the mean concentration of rows weighted by their importance."""
    detail = {"estimator": estimator}
    if rows != "factor" and len(prepared.alive) < 2:
        return undefined("one factor has nothing to be disentangled from", **detail)
    if importance.size == 0 or importance.sum() <= 0:
        return nothing_there(prepared.nothing or "no dimension carries any factor", **detail)
    return Value(float(_mean_concentration(importance)), detail=detail)


def _nothing(prepared: Prepared, estimator: str, reason: str) -> Dci:
    nan = np.full((len(prepared.active), len(prepared.columns)), np.nan)
    none = undefined(reason, estimator=estimator)
    return Dci(estimator, none, none, none, none, none, nan, nan[0].copy())

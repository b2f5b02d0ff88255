"""SAP: how much better the best single dimension reads a factor than the second best does.

Source: Kumar, Sattigeri and Balakrishnan 2018, with class accuracies corrected for chance so that 1 can be
reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acc.evaluation.metrics.jackknife import smoothed
from acc.evaluation.metrics.prepared import Column, Prepared
from acc.evaluation.metrics.values import Array, Value, mean_of_defined, undefined

MIN_CLASS_SAMPLES = 3
UINT8_CLASSES = 256


@dataclass(frozen=True, eq=False)
class Sap:
    """SAP of dimensions and groups; table (D, F) of single-dimension scores; gaps (F,). NaN for dead factors."""

    sap: Value
    group_sap: Value
    table: Array
    gaps: Array
    group_gaps: Array


def sap(prepared: Prepared) -> Sap:
    """Return SAP: squared correlation for real factors; held-out skill of the nearest class mean for classes."""
    shape = (len(prepared.active), len(prepared.columns))
    table = np.full(shape, np.nan)
    if not prepared.too_few:
        halves = [prepared.z[rows] for rows in prepared.halves]
        for index in prepared.alive:
            column = prepared.columns[index]
            scores = (
                _squared_correlation(prepared.z, column.values)
                if column.kind == "cont"
                else _means(prepared, column, *halves)
            )
            table[:, index] = scores.cpu().numpy()
    groups = prepared.groups
    grouped = np.stack([table[list(dims)].max(axis=0) for dims in groups.dims]) if groups else None
    gaps = _gaps(table)
    group_gaps = _gaps(grouped) if grouped is not None else np.full(shape[1], np.nan)
    missing = prepared.no_factor or "no class has enough samples"
    return Sap(
        _mean(prepared, gaps, missing),
        _mean(prepared, group_gaps, prepared.no_groups or missing),
        table,
        gaps,
        group_gaps,
    )


def sap_without_each(prepared: Prepared, found: Sequence[Sap]) -> dict[str, Array]:
    """Return the scores (1 + J,) of what was found of all samples and without each group, as ``smoothed`` has them."""
    table = np.stack([each.table for each in found])

    def mean_gap(table: Array) -> Array:
        return mean_of_defined(_gaps(table), axis=-1)

    scores = {"sap": smoothed(mean_gap, table)}
    if prepared.groups is not None:
        dims = [list(group) for group in prepared.groups.dims]

        def of_groups(table: Array) -> Array:
            return mean_gap(np.stack([table[:, group].max(axis=1) for group in dims], axis=1))

        scores["group_sap"] = smoothed(of_groups, table)
    return scores


def _squared_correlation(z: Tensor, values: Tensor) -> Tensor:
    z, values = z - z.mean(0), values - values.mean()
    size = (z.square().sum(0) * values.square().sum()).sqrt()
    return torch.where(size > 0, z.T @ values / size.clamp(min=1e-300), 0.0).square().clamp(max=1)


def _means(prepared: Prepared, column: Column, fit: Tensor, held: Tensor) -> Tensor:
    """Return chance-corrected balanced accuracy (D,) of choosing, in one dimension, the class whose mean is nearest.

    fit, held (n, D): latents of the samples to fit on and to test on.
    """
    train, test = prepared.halves
    fitted, tested = column.values[train], column.values[test]
    counts = (
        torch.bincount(fitted, minlength=column.classes),
        torch.bincount(tested, minlength=column.classes),
    )
    classes = ((counts[0] >= MIN_CLASS_SAMPLES) & (counts[1] >= MIN_CLASS_SAMPLES)).nonzero()[:, 0].tolist()
    if len(classes) < 2:
        return torch.full((fit.shape[1],), torch.nan, device=fit.device)
    is_fitted = (fitted == torch.tensor(classes, device=fitted.device)[:, None]).to(fit.dtype)
    means = is_fitted @ fit / is_fitted.sum(1, keepdim=True)
    ordered, owner = means.sort(dim=0)  # C D
    # In one dimension the nearest mean changes halfway between neighbours.
    kind = torch.uint8 if len(classes) <= UINT8_CLASSES else torch.int64
    place = torch.zeros(held.shape, dtype=kind, device=held.device)
    for border in (ordered[1:] + ordered[:-1]) / 2:
        place += held > border
    is_tested = (tested == torch.tensor(classes, device=tested.device)[:, None]).to(torch.float32)
    truth = is_tested.argmax(0)
    found = (owner.gather(0, place.to(torch.int64)) == truth[:, None]).to(torch.float32)
    recall = (is_tested @ found).to(torch.float64) / is_tested.sum(1, keepdim=True)
    chance = 1 / len(classes)
    return ((recall.mean(0) - chance) / (1 - chance)).clamp(min=0)


def _gaps(table: Array) -> Array:
    """Return the gap between the two best rows of (..., rows, F); a lone row gaps with 0."""
    ordered = np.sort(np.concatenate([np.zeros_like(table[..., :1, :]), table], axis=-2), axis=-2)
    return np.where(np.isnan(table).any(axis=-2), np.nan, ordered[..., -1, :] - ordered[..., -2, :])


def _mean(prepared: Prepared, gaps: Array, missing: str) -> Value:
    if np.isnan(gaps).all():
        return undefined(missing)
    return Value(
        float(mean_of_defined(gaps, axis=0)),
        prepared.nothing,
        detail={"note": "blind to codes that are not monotone"},
    )

"""SAP: how much better the best single dimension reads a factor than the second best does.

Source: Kumar, Sattigeri and Balakrishnan 2018, with class accuracies corrected for chance so that 1 can be
reached.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

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


def _squared_correlation(z: Tensor, values: Tensor) -> Tensor:
    return (z.T @ values / len(z)).square().clamp(max=1)


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
    ordered = np.sort(np.vstack([np.zeros((1, table.shape[1])), table]), axis=0)
    return np.where(np.isnan(table).any(axis=0), np.nan, ordered[-1] - ordered[-2])


def _mean(prepared: Prepared, gaps: Array, missing: str) -> Value:
    if np.isnan(gaps).all():
        return undefined(missing)
    return Value(
        float(mean_of_defined(gaps, axis=0)),
        prepared.nothing,
        detail={"note": "blind to codes that are not monotone"},
    )

"""Mutual information between dimensions and factors, and the two scores made of it: MIG and modularity.

Sources: Chen et al. 2018 (MIG); Ridgeway and Mozer 2018 (modularity); Miller 1955 (bias correction).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acc.evaluation.metrics.jackknife import smoothed
from acc.evaluation.metrics.levels import quantile_bins
from acc.evaluation.metrics.prepared import Column, Prepared
from acc.evaluation.metrics.values import Array, Value, mean_of_defined, nothing_there, undefined

BINS = 20
UNCORRECTED = "not corrected for chance: pure noise scores about 0.75"


@dataclass(frozen=True, eq=False)
class Information:
    """Scores from mutual information; tables (D, F) in nats, plug-in and Miller-Madow, NaN for dead factors.

    gaps (F,) are the MIG of each factor; ``entropy`` (F,) in nats, plug-in and corrected.
    """

    mig: Value
    mig_corrected: Value
    group_mig: Value
    group_mig_corrected: Value
    modularity: Value
    group_modularity: Value
    table: Array
    corrected: Array
    entropy: Array
    entropy_corrected: Array
    gaps: Array
    group_gaps: Array


def information(prepared: Prepared) -> Information:
    """Return MIG and modularity of dimensions and of groups.

    20 equal-width bins a dimension; classes or, for real factors of more than 20 values, 20 quantile bins.
    """
    shape = (len(prepared.active), len(prepared.columns))
    table, corrected = np.zeros(shape), np.zeros(shape)
    entropy, entropy_corrected = np.full(shape[1], np.nan), np.full(shape[1], np.nan)
    active = prepared.active.nonzero()[:, 0]
    at = active.cpu().numpy()
    codes = prepared.rows_of(prepared.once("bins", lambda whole: _equal_width(whole.z[:, active])))
    for index, column in enumerate(prepared.columns):
        if not column.alive or prepared.too_few:
            table[:, index] = corrected[:, index] = np.nan
            continue
        labels, classes = _labels(prepared, index)
        plain, fixed, entropy[index], entropy_corrected[index] = _mutual_information(codes, labels, classes)
        table[at, index], corrected[at, index] = plain, fixed
    grouped = _group_maxima(prepared, table), _group_maxima(prepared, corrected)
    gaps, gaps_corrected = _gaps(table, entropy), _gaps(corrected, entropy_corrected)
    group_gaps = _gaps(grouped[0], entropy) if grouped[0] is not None else np.full(shape[1], np.nan)
    group_corrected = _gaps(grouped[1], entropy_corrected) if grouped[1] is not None else group_gaps
    detail = {"bins": BINS, "n": len(prepared.z)}
    missing = prepared.no_factor
    return Information(
        mig=_mean(prepared, gaps, missing, {**detail, "estimator": "plug-in"}),
        mig_corrected=_mean(prepared, gaps_corrected, missing, {**detail, "estimator": "Miller-Madow"}),
        group_mig=_mean(
            prepared, group_gaps, prepared.no_groups or missing, {**detail, "estimator": "plug-in"}
        ),
        group_mig_corrected=_mean(
            prepared, group_corrected, prepared.no_groups or missing, {**detail, "estimator": "Miller-Madow"}
        ),
        modularity=_modularity(prepared, table[at], missing),
        group_modularity=_modularity(prepared, grouped[0], missing)
        if grouped[0] is not None
        else undefined(prepared.no_groups),
        table=table,
        corrected=corrected,
        entropy=entropy,
        entropy_corrected=entropy_corrected,
        gaps=gaps,
        group_gaps=group_gaps,
    )


def information_without_each(prepared: Prepared, found: Sequence[Information]) -> dict[str, Array]:
    """Return the scores (1 + J,) of what was found of all samples and without each group, as ``smoothed`` has them."""
    plain = np.stack([each.table for each in found]), np.stack([each.entropy for each in found])
    fixed = np.stack([each.corrected for each in found]), np.stack([each.entropy_corrected for each in found])
    active, alive = prepared.active.nonzero()[:, 0].tolist(), list(prepared.alive)

    def mig(table: Array, entropy: Array) -> Array:
        return mean_of_defined(_gaps(table, entropy), axis=-1)

    def of_groups(table: Array, entropy: Array) -> Array:
        grouped = _group_maxima(prepared, table)
        return mig(grouped, entropy) if grouped is not None else mig(table, entropy)

    def modular(table: Array | None) -> Array:
        assert table is not None
        return np.asarray(modularity(table[..., alive]).mean(axis=-1))

    scores = {
        "mig": smoothed(mig, *plain),
        "mig_corrected": smoothed(mig, *fixed),
        "modularity": smoothed(lambda table: modular(table[:, active]), plain[0]),
    }
    if prepared.groups is not None:
        scores |= {
            "group_mig": smoothed(of_groups, *plain),
            "group_mig_corrected": smoothed(of_groups, *fixed),
            "group_modularity": smoothed(lambda table: modular(_group_maxima(prepared, table)), plain[0]),
        }
    return scores


def modularity(table: Array) -> Array:
    """Return for each row of mutual information (..., F) how far it serves one factor; 0 for rows of zeros."""
    squared = np.square(np.maximum(table, 0))
    best = squared.max(axis=-1)
    rest = squared.sum(axis=-1) - best
    return np.where(best > 0, 1 - rest / np.where(best > 0, best, 1.0) / max(1, table.shape[-1] - 1), 0.0)


def _equal_width(z: Tensor) -> Tensor:
    """Return bin numbers (N, D) of 20 equal bins between each dimension's least and greatest value."""
    low, high = z.amin(0), z.amax(0)
    # The nudge keeps a value that lies on an edge on the same side of it when the dimension is rescaled.
    width = torch.where(high > low, high - low, 1.0)
    return ((z - low) / width * BINS + 1e-9).to(torch.int64).clamp(max=BINS - 1)


def _labels(prepared: Prepared, index: int) -> tuple[Tensor, int]:
    """Return the class of each sample, or the bin of its value, and how many there are."""
    labels, classes = prepared.once(f"labels {index}", lambda whole: _binned(whole.columns[index]))
    return prepared.rows_of(labels), classes


def _binned(column: Column) -> tuple[Tensor, int]:
    if column.kind == "cat":
        return column.values, column.classes
    values = column.values.cpu().numpy()
    distinct, codes = np.unique(values, return_inverse=True)
    if len(distinct) > BINS:
        codes, _ = quantile_bins(values, BINS)
    return torch.from_numpy(codes.astype(np.int64)).to(column.values.device), int(codes.max()) + 1


def _mutual_information(codes: Tensor, labels: Tensor, classes: int) -> tuple[Array, Array, float, float]:
    """Return information per dimension, plug-in and Miller-Madow, and the label's entropy by both (nats)."""
    n, dims = codes.shape
    index = (torch.arange(dims, device=codes.device) * BINS + codes) * classes + labels[:, None]
    counts = torch.bincount(index.flatten(), minlength=dims * BINS * classes)
    joint = counts.reshape(dims, BINS, classes).to(torch.float64) / n
    label = torch.bincount(labels, minlength=classes).to(torch.float64) / n
    of_bins, of_pairs = _entropy(joint.sum(2)), _entropy(joint.flatten(1))
    of_label = _entropy(label[None])
    used = (joint.sum(2) > 0).sum(1) - 1, (joint > 0).sum((1, 2)) - 1, (label > 0).sum() - 1
    plain = (of_bins + of_label - of_pairs).clamp(min=0)
    fixed = (of_bins + of_label - of_pairs + (used[0] + used[2] - used[1]) / (2 * n)).clamp(min=0)
    return plain.cpu().numpy(), fixed.cpu().numpy(), float(of_label), float(of_label + used[2] / (2 * n))


def _entropy(probability: Tensor) -> Tensor:
    entropy: Tensor = torch.special.entr(probability)
    return entropy.sum(-1)


def _group_maxima(prepared: Prepared, table: Array) -> Array | None:
    if prepared.groups is None:
        return None
    return np.stack([table[..., list(dims), :].max(axis=-2) for dims in prepared.groups.dims], axis=-2)


def _gaps(table: Array, entropy: Array) -> Array:
    """Return the gap between the two best rows of (..., rows, F) over the entropy (..., F); a lone row gaps with 0."""
    ordered = np.sort(np.concatenate([table, np.zeros_like(table[..., :1, :])], axis=-2), axis=-2)
    known = np.nan_to_num(entropy) > 0
    gap = ordered[..., -1, :] - ordered[..., -2, :]
    return np.where(known, gap / np.where(known, entropy, 1.0), np.nan)


def _mean(prepared: Prepared, gaps: Array, missing: str, detail: dict[str, object]) -> Value:
    if np.isnan(gaps).all():
        return undefined(missing or "no factor has entropy", **detail)
    return Value(float(mean_of_defined(gaps, axis=0)), prepared.nothing, detail=detail)


def _modularity(prepared: Prepared, table: Array, missing: str) -> Value:
    table = table[:, list(prepared.alive)]
    if missing or table.shape[1] < 2:
        return undefined(missing or "modularity needs two factors that vary", note=UNCORRECTED)
    if not (table > 0).any():
        return nothing_there(prepared.nothing or "no dimension carries any factor", note=UNCORRECTED)
    return Value(float(modularity(table).mean()), detail={"note": UNCORRECTED, "bins": BINS})

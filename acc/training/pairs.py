"""Pairs: to each row another that shares all but a few factors with it, as weakly supervised methods need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from acc.errors import TaskError

if TYPE_CHECKING:
    from acc.data import AccDataset

Indices = NDArray[np.int64]
MAX_LEVELS = 1024
MAX_INDEX_BYTES = 256 * 2**20
LEAST_PAIRED = 0.5
_SAMPLE = 4096


def factors_of(dataset: AccDataset) -> tuple[str, ...]:
    """Return the targets by which rows are paired: those of classes, and real ones of up to 1,024 different values.

    A target that is the same in all rows is none, nor is a real one whose values hardly repeat: no two rows share it.
    """
    return tuple(name for name in dataset.targets if _levels(dataset, name) is not None)


def _levels(dataset: AccDataset, name: str) -> NDArray[np.generic] | None:
    values = np.unique(dataset.targets[name])
    real = next(column.kind == "real" for column in dataset.target_specs if column.name == name)
    if len(values) < 2 or (real and (len(values) > MAX_LEVELS or 2 * len(values) > len(dataset))):
        return None
    return values


@dataclass(frozen=True)
class _Groups:
    """Training rows that are alike in some factors: ``order`` lists them group by group.

    starts (G + 1,): where each group begins in ``order``; keys (G,): what its rows have in common, ascending;
    place (N,): of each row of the dataset its place in ``order``, -1 for one that is not trained on.
    """

    order: NDArray[np.int32]
    starts: NDArray[np.int32]
    keys: Indices
    place: NDArray[np.int32]


class FactorIndex:
    """Finds training rows that differ from given ones in a few factors alone; what it looks up is built once."""

    def __init__(self, dataset: AccDataset, training: Indices) -> None:
        self._dataset, self._training = dataset, np.sort(training)
        self._codes: dict[str, tuple[NDArray[np.int32], int]] = {}
        self._groups: dict[frozenset[str], _Groups] = {}
        self._asked: set[tuple[int, tuple[str, ...]]] = set()

    def partners(
        self, rows: Indices, k: int, names: Sequence[str], seed: int, *, size: int, start: int
    ) -> Indices:
        """Return a training row for each of ``rows``: equal in all but ``k`` of the factors, and another row.

        Which ``k`` may differ is drawn for each row, and then one of the rows that are equal in the others, which may
        differ in fewer. A row for which there is none is its own partner. names: the factors, empty for all.
        seed: of the whole batch of ``size`` rows, of which these are rows ``start`` and on.
        Raises TaskError where the dataset has none, for a ``k`` that does not fit, and where most rows have no partner.
        """
        names = self._checked(k, tuple(names))
        if (k, names) not in self._asked:
            sample = self._training[:: max(1, len(self._training) // _SAMPLE)]
            found = self._find(sample, k, names, np.random.default_rng(0).random((2, len(sample))))
            paired = float(np.mean(found != sample))
            if paired < LEAST_PAIRED:
                raise TaskError(
                    f"only {paired:.0%} of the training rows have another that shares all but {k} of the factors "
                    f"{', '.join(names)}; pairs need data that repeats its factors, fewer of them, or a larger k",
                    field="dataset",
                )
            self._asked.add((k, names))
        draws = np.random.default_rng(seed).random((2, size))[:, start : start + len(rows)]
        return self._find(rows, k, names, draws)

    def _checked(self, k: int, names: tuple[str, ...]) -> tuple[str, ...]:
        there = factors_of(self._dataset) if not self._codes else tuple(self._codes)
        if not there:
            raise TaskError(
                "this dataset has no factors to pair rows by; pairs need class targets, or real ones whose values "
                "repeat",
                field="dataset",
            )
        for name in there if not self._codes else ():
            values = _levels(self._dataset, name)
            assert values is not None
            codes = np.searchsorted(values, self._dataset.targets[name]).astype(np.int32)
            self._codes[name] = codes, len(values)
        unknown = [name for name in names if name not in there]
        if unknown:
            raise TaskError(
                f"'{unknown[0]}' is not a factor to pair rows by; this dataset has: {', '.join(there)}",
                field="factors",
            )
        names = names or there
        if not 1 <= k <= len(names):
            raise TaskError(
                f"k is {k}; a pair differs in 1 to {len(names)} of the factors {', '.join(names)}", field="k"
            )
        size = math.comb(len(names), k) * 8 * len(self._dataset)
        cells = math.prod(self._codes[name][1] for name in names)
        if cells >= 2**63:
            raise TaskError(
                f"the {len(names)} factors have {cells:.1e} combinations, more than can be told apart; "
                "name fewer factors",
                field="factors",
            )
        if size > MAX_INDEX_BYTES:
            raise TaskError(
                f"pairs that differ in {k} of {len(names)} factors would need {size:,} bytes to be found, and "
                f"{MAX_INDEX_BYTES:,} are allowed; name fewer factors",
                field="factors",
            )
        return names

    def _find(self, rows: Indices, k: int, names: tuple[str, ...], draws: NDArray[np.float64]) -> Indices:
        subsets = list(combinations(names, k))
        chosen = (draws[0] * len(subsets)).astype(np.int64)
        found = np.array(rows, dtype=np.int64)
        # A row that is alone in what it shares tries the next choice of factors.
        for turn in range(len(subsets)):
            left = np.flatnonzero(found == rows)
            if not len(left):
                break
            number = (chosen[left] + turn) % len(subsets)
            for each in np.unique(number):
                at = left[number == each]
                shared = [name for name in names if name not in subsets[each]]
                found[at] = self._among(self._grouped(shared), rows[at], draws[1, at], shared)
        return found

    def _among(
        self, groups: _Groups, rows: Indices, draws: NDArray[np.float64], shared: list[str]
    ) -> Indices:
        key = self._key(shared, rows)
        group = np.searchsorted(groups.keys, key)
        there = (group < len(groups.keys)) & (groups.keys[np.minimum(group, len(groups.keys) - 1)] == key)
        group = np.where(there, group, 0)
        start, stop = groups.starts[group].astype(np.int64), groups.starts[group + 1].astype(np.int64)
        place = groups.place[rows]
        # One of the others in its group, each as likely: how far to go on from its own place, round the group.
        others = stop - start - (place >= 0)
        step = np.minimum((draws * others).astype(np.int64), others - 1)
        at = np.where(place >= 0, start + (place - start + 1 + step) % (stop - start), start + step)
        none = ~there | (others < 1)
        return np.where(none, rows, groups.order[np.where(none, 0, at)])

    def _grouped(self, shared: list[str]) -> _Groups:
        known = self._groups.get(frozenset(shared))
        if known is None:
            keys = self._key(shared, self._training)
            order = np.argsort(keys, kind="stable")
            values, starts = np.unique(keys[order], return_index=True)
            place = np.full(len(self._dataset), -1, dtype=np.int32)
            place[self._training[order]] = np.arange(len(order), dtype=np.int32)
            known = self._groups[frozenset(shared)] = _Groups(
                self._training[order].astype(np.int32),
                np.append(starts, len(order)).astype(np.int32),
                values,
                place,
            )
        return known

    def _key(self, shared: list[str], rows: Indices) -> Indices:
        """Return a number for what rows have in common, the same only for those that are equal in all of it."""
        key = np.zeros(len(rows), dtype=np.int64)
        for name in shared:
            codes, levels = self._codes[name]
            key = key * levels + codes[rows]
        return key

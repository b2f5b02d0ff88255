"""UFR: is each concept read from its own place, by one probe in every context, and from nowhere else?

Source: the question of Kumar, Clune, Lehman and Stanley 2025 (unified factored representation), asked with
the cross-condition generalisation and parallelism of Bernardi et al. 2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from acc.evaluation.metrics.judgement import HOMELESS, READABLE, Judgement, judge, match
from acc.evaluation.metrics.prepared import Prepared
from acc.evaluation.metrics.skills import SkillTable
from acc.evaluation.metrics.values import Array, Value, interval, mean_of_defined, undefined


@dataclass(frozen=True, eq=False)
class Skills:
    """Skills per view, concept and context (V, F, F), view 0 all dimensions; NaN where undefined.

    ``within`` (W), ``across`` (T), ``ratio`` (T / W where W > 0.1), 95 % bounds, and means over label
    shuffles.
    """

    within: Array
    within_low: Array
    within_high: Array
    across: Array
    across_low: Array
    across_high: Array
    ratio: Array
    parallelism: Array
    chance_within: Array
    chance_across: Array


@dataclass(frozen=True, eq=False)
class Ufr:
    """The UFR matrix and its summary.

    ``unified``, ``factored``, ``leak`` and their product ``concept`` belong to each concept; ``views`` names
    axis V of ``skills``; ``matrices`` maps "concept|context" to the skills (V, L, L) fitted on one level,
    tested on another; ``levels`` names each factor's levels; ``empty`` maps "concept|context" to the levels
    left out and why; ``own`` maps each concept to the group it was scored in.
    """

    value: Value
    matched_value: Value
    unified: dict[str, Value]
    factored: dict[str, Value]
    leak: dict[str, Value]
    concept: dict[str, Value]
    all_dimensions_across: Value
    parallelism: Value
    parallelism_own: Value
    own: dict[str, str | None]
    matched: bool
    concepts: tuple[str, ...]
    views: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    skills: Skills
    matrices: dict[str, Array]
    empty: dict[str, dict[str, str]]


def measure_ufr(
    prepared: Prepared, *, use_match: bool = False, permutations: int = 20, resamples: int = 200
) -> Ufr:
    """Return the UFR of ``prepared``; ``use_match`` scores the best assignment of groups, not the declared."""
    table = SkillTable(prepared, resamples)
    groups = len(table.views) - 1
    best: Sequence[int | None] = match(table.within[0], groups) if groups else prepared.own
    own = best if use_match else prepared.own
    chance = table.chance(own, permutations)
    return _Report(table, own, use_match, chance).build(best)


class _Report:
    """Puts numbers, intervals, chance and reasons together."""

    def __init__(
        self, table: SkillTable, own: Sequence[int | None], use_match: bool, chance: tuple[Array, Array]
    ) -> None:
        self.table, self.own, self.use_match, self.chance = table, own, use_match, chance
        self.prepared = table.prepared
        self.names = [column.name for column in self.prepared.columns]
        self.groups = self.prepared.view_names[1:]
        self.reasons = [self._reason(c) for c in range(len(self.names))]
        self.judged = judge(table.within, table.across, own, len(self.groups))
        self.by_chance = judge(*chance, own, len(self.groups)) if len(chance[0]) else None

    def build(self, best: Sequence[int | None]) -> Ufr:
        """Return the report; ``best`` is the matched assignment."""
        table, judged, chance = self.table, self.judged, self.by_chance
        matched = judge(table.within, table.across, best, len(self.groups))
        labels = {at: f"{self.names[at[0]]}|{self.names[at[1]]}" for at in table.matrices}
        overall = interval(mean_of_defined(table.across[1:, 0], axis=(1, 2)))
        cosines = [self._own_cosine(c) for c in range(len(self.names))]
        cosine_reason = table.nothing or next(iter(table.parallelism_reasons.values()), "")
        return Ufr(
            value=self._headline(judged, chance, "matched" if self.use_match else "declared"),
            matched_value=self._headline(matched, None, "matched"),
            unified=self._per_concept(judged.unified, chance.unified if chance else None),
            factored=self._per_concept(judged.factored, chance.factored if chance else None),
            leak=self._leaks(),
            concept=self._per_concept(
                judged.unified * judged.factored, chance.unified * chance.factored if chance else None
            ),
            all_dimensions_across=replace(
                _mean(table.across[0, 0], table.nothing), low=_known(overall[0]), high=_known(overall[1])
            ),
            parallelism=_mean(table.parallelism[0], cosine_reason),
            parallelism_own=_mean(np.array(cosines), self.prepared.no_groups or cosine_reason),
            own={name: self._group(home) for name, home in zip(self.names, self.own, strict=True)},
            matched=self.use_match,
            concepts=tuple(self.names),
            views=self.prepared.view_names,
            levels={column.name: column.level_names for column in self.prepared.columns},
            skills=self._skills(),
            matrices={labels[at]: matrix for at, matrix in table.matrices.items()},
            empty={
                f"{self.names[concept]}|{self.names[context]}": pair.can.reasons
                for context, pairs in table.pairs.items()
                for concept, pair in pairs.items()
                if pair.can.reasons
            },
        )

    def _headline(self, judged: Judgement, chance: Judgement | None, own: str) -> Value:
        detail: dict[str, Any] = {"own": own}
        if math.isnan(judged.ufr[0]):
            first = self.prepared.no_groups or self.table.nothing
            return undefined(first or next((text for text in self.reasons if text), "no concept"), **detail)
        low, high = interval(judged.ufr[1:])
        if chance is not None:
            detail |= {"chance_highest": float(np.nanmax(chance.ufr)), "permutations": len(chance.ufr)}
        return Value(
            float(judged.ufr[0]),
            "; ".join(self.prepared.notes),
            _known(low),
            _known(high),
            _known(mean_of_defined(chance.ufr, axis=0)) if chance is not None else None,
            detail=detail,
        )

    def _per_concept(self, scores: Array, chance: Array | None) -> dict[str, Value]:
        low, high = interval(scores[1:])
        by_chance = (
            mean_of_defined(chance, axis=0) if chance is not None else np.full(len(self.names), np.nan)
        )
        return {
            name: Value(
                float(scores[0, c]),
                self.reasons[c] if np.isnan(scores[0, c]) or self.own[c] == HOMELESS else "",
                _known(low[c]),
                _known(high[c]),
                _known(by_chance[c]),
            )
            for c, name in enumerate(self.names)
        }

    def _leaks(self) -> dict[str, Value]:
        values = self._per_concept(self.judged.leak, self.by_chance.leak if self.by_chance else None)
        return {
            name: replace(value, higher_is_better=False, detail={"from": self._group(source)})
            for (name, value), source in zip(values.items(), self.judged.leak_from, strict=True)
        }

    def _own_cosine(self, concept: int) -> float:
        home = self.own[concept]
        if home is None or home == HOMELESS:
            return math.nan
        return float(mean_of_defined(self.table.parallelism[home + 1, concept], axis=-1))

    def _group(self, index: int | None) -> str | None:
        return None if index is None or index == HOMELESS else self.groups[index]

    def _reason(self, concept: int) -> str:
        """Return why a concept's scores are undefined, or zero for want of a place; empty if neither."""
        name = self.names[concept]
        empty = "; ".join(self.table.empty_reasons(concept)[:3])
        known = (
            self.prepared.columns[concept].reason,
            self.prepared.no_groups,
            self.table.nothing,
            f"no group is declared to hold '{name}'" if self.own[concept] is None else "",
            f"no group is left for '{name}': there are fewer groups than concepts"
            if self.own[concept] == HOMELESS
            else "",
            "one group has nothing to be told apart from; declare at least two"
            if len(self.groups) < 2
            else "",
            f"no pair of context levels can be scored: {empty}" if empty else "",
        )
        return next((reason for reason in known if reason), "")

    def _skills(self) -> Skills:
        within, across = self.table.within[0], self.table.across[0]
        within_low, within_high = interval(self.table.within[1:])
        across_low, across_high = interval(self.table.across[1:])
        readable = np.nan_to_num(within, nan=-1.0) > READABLE
        return Skills(
            within=within,
            within_low=within_low,
            within_high=within_high,
            across=across,
            across_low=across_low,
            across_high=across_high,
            ratio=np.where(readable, across / np.where(readable, within, 1.0), np.nan),
            parallelism=self.table.parallelism,
            chance_within=mean_of_defined(self.chance[0], axis=0),
            chance_across=mean_of_defined(self.chance[1], axis=0),
        )


def _mean(values: Array, reason: str) -> Value:
    mean = float(mean_of_defined(values.ravel(), axis=0))
    return Value(mean, reason if math.isnan(mean) else "")


def _known(number: Any) -> float | None:
    return None if np.isnan(number) else float(number)

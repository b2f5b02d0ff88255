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

from acc.evaluation.metrics.jackknife import interval, measured, told_wide
from acc.evaluation.metrics.judgement import HOMELESS, READABLE, Judgement, judge, judge_without_each, match
from acc.evaluation.metrics.prepared import Prepared
from acc.evaluation.metrics.skills import SkillTable
from acc.evaluation.metrics.values import Array, Value, mean_of_defined, nothing_there, undefined


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

    ``matched_value`` is the score of the better of the declared assignment and the best one-to-one assignment, so
    never below ``value``; ``unified``, ``factored``, ``leak`` and their product ``concept`` belong to each concept;
    ``views`` names axis V of ``skills``; ``matrices`` maps "concept|context" to the skills (V, L, L) fitted on one
    level, tested on another; ``levels`` names each factor's levels; ``empty`` maps "concept|context" to the levels
    left out and why; ``own`` maps each concept to the group it was scored in.
    """

    value: Value
    matched_value: Value
    mean_unified: Value
    mean_factored: Value
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
    prepared: Prepared, *, use_match: bool = False, permutations: int = 20, resamples: int | None = None
) -> Ufr:
    """Return the UFR of ``prepared``; ``use_match`` scores the best assignment of groups, not the declared.

    ``resamples`` is the number of groups of the jackknife, if not that of ``prepared``; 0: no intervals.
    """
    if resamples is not None:
        prepared = prepared.dealt_into(resamples)
    table = SkillTable(prepared)
    best = _best(table)
    own = best if use_match else prepared.own
    chance = table.chance(own, permutations)
    return _Report(table, own, use_match, chance).build(best)


def _best(table: SkillTable) -> Sequence[int | None]:
    """Return the better of the declared assignment and the best one-to-one assignment of declared groups."""
    prepared = table.prepared
    if not prepared.declared:
        return prepared.own
    matched = match(table.within[0], prepared.declared)
    groups = len(table.views) - 1
    scores = [
        float(judge(table.within[:1], table.across[:1], own, groups).ufr[0])
        for own in (matched, prepared.own)
    ]
    return prepared.own if scores[1] >= scores[0] or math.isnan(scores[0]) else matched


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
        self.judged = judge_without_each(table.within, table.across, own, len(self.groups))
        self.by_chance = judge(*chance, own, len(self.groups)) if len(chance[0]) else None

    def build(self, best: Sequence[int | None]) -> Ufr:
        """Return the report; ``best`` is the matched assignment."""
        table, judged, chance = self.table, self.judged, self.by_chance
        matched = judge_without_each(table.within, table.across, best, len(self.groups))
        labels = {at: f"{self.names[at[0]]}|{self.names[at[1]]}" for at in table.matrices}
        cosine_reason = table.nothing or next(iter(table.parallelism_reasons.values()), "")
        return Ufr(
            value=self._headline(judged, chance, "matched" if self.use_match else "declared"),
            matched_value=self._headline(
                matched, None, "declared" if tuple(best) == self.prepared.own else "matched"
            ),
            mean_unified=self._mean(judged.unified),
            mean_factored=self._mean(judged.factored),
            unified=self._per_concept(judged.unified, chance.unified if chance else None),
            factored=self._per_concept(judged.factored, chance.factored if chance else None),
            leak=self._leaks(),
            concept=self._per_concept(
                judged.unified * judged.factored, chance.unified * chance.factored if chance else None
            ),
            all_dimensions_across=self._over_all(table.across[:, 0], table.nothing),
            parallelism=told_wide(self._over_all(table.parallelism[:, 0], cosine_reason)),
            parallelism_own=self._own_cosines(cosine_reason),
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
        detail: dict[str, Any] = {"own": own, "inactive": int((~self.prepared.active).sum())}
        if not self.table.replicates:
            detail["interval"] = self.prepared.dealt.note
        if math.isnan(judged.ufr[0]):
            first = self.prepared.no_groups or self.table.nothing
            return undefined(first or next((text for text in self.reasons if text), "no concept"), **detail)
        by_chance = None
        if chance is not None:
            detail |= {"chance_highest": float(np.nanmax(chance.ufr)), "permutations": len(chance.ufr)}
            by_chance = _known(mean_of_defined(chance.ufr, axis=0))
        if self.prepared.nothing:
            return replace(nothing_there(self.prepared.nothing, **detail), chance=by_chance)
        return measured(judged.ufr, chance=by_chance, detail=detail)

    def _mean(self, scores: Array) -> Value:
        """Return the mean of scores (1 + J, F) over the concepts."""
        values = mean_of_defined(scores, axis=1)
        if self.prepared.nothing and not math.isnan(values[0]):
            return nothing_there(self.prepared.nothing)
        first = self.prepared.no_groups or self.table.nothing
        return measured(values, first or next((text for text in self.reasons if text), "no concept"))

    def _over_all(self, cells: Array, reason: str) -> Value:
        """Return the mean of what is defined of (1 + J, ...)."""
        if self.prepared.nothing and not self.table.nothing:
            return nothing_there(self.prepared.nothing)
        flat = cells.reshape(len(cells), -1)
        there = ~np.isnan(flat[0])
        if np.isnan(flat[:, there]).any():  # its absence, not its value, would move the mean of a replicate
            flat = flat[:1]
        return measured(mean_of_defined(flat[:, there], axis=1), reason)

    def _per_concept(self, scores: Array, chance: Array | None) -> dict[str, Value]:
        by_chance = (
            mean_of_defined(chance, axis=0) if chance is not None else np.full(len(self.names), np.nan)
        )
        return {
            name: replace(
                measured(scores[:, c], chance=_known(by_chance[c])),
                reason=self.prepared.nothing
                if self.prepared.nothing and not np.isnan(scores[0, c])
                else self.reasons[c]
                if np.isnan(scores[0, c]) or self.own[c] == HOMELESS
                else "",
            )
            for c, name in enumerate(self.names)
        }

    def _leaks(self) -> dict[str, Value]:
        values = self._per_concept(self.judged.leak, self.by_chance.leak if self.by_chance else None)
        return {
            name: replace(value, higher_is_better=False, detail={"from": self._group(source)})
            for (name, value), source in zip(values.items(), self.judged.leak_from, strict=True)
        }

    def _own_cosines(self, reason: str) -> Value:
        """Return the mean over concepts and contexts of the cosines in each concept's own group."""
        homes = [(c, home) for c, home in enumerate(self.own) if home is not None and home != HOMELESS]
        if not homes:
            return undefined(self.prepared.no_groups or "no group is declared to hold a concept")
        cells = np.stack([self.table.parallelism[:, home + 1, c] for c, home in homes], axis=1)
        return told_wide(self._over_all(cells, reason))

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
        within_low, within_high = interval(self.table.within)
        across_low, across_high = interval(self.table.across)
        readable = np.nan_to_num(within, nan=-1.0) > READABLE
        return Skills(
            within=within,
            within_low=within_low,
            within_high=within_high,
            across=across,
            across_low=across_low,
            across_high=across_high,
            ratio=np.where(readable, across / np.where(readable, within, 1.0), np.nan),
            parallelism=self.table.parallelism[0],
            chance_within=mean_of_defined(self.chance[0], axis=0),
            chance_across=mean_of_defined(self.chance[1], axis=0),
        )


def _known(number: Any) -> float | None:
    return None if np.isnan(number) else float(number)

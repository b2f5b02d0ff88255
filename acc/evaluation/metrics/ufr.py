"""UFR: can each concept be read from its own place, fitted in one context, in every other, and from nowhere else?

Source: the question of Kumar, Clune, Lehman and Stanley 2025 (unified factored representation), asked with the
cross-condition generalisation and parallelism of Bernardi et al. 2020.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acc.evaluation.metrics.chance import chance_skills, shuffles
from acc.evaluation.metrics.judgement import HOMELESS, READABLE, Judgement, judge, match
from acc.evaluation.metrics.labels import Usable, label_moments, usable
from acc.evaluation.metrics.moments import Moments, moments_of
from acc.evaluation.metrics.parallelism import parallelism
from acc.evaluation.metrics.prepared import Prepared
from acc.evaluation.metrics.transfer import fit, transfer
from acc.evaluation.metrics.values import Array, Value, interval, mean_of_defined, undefined

CHANCE_STREAM, RESAMPLE_STREAM = 1, 2


@dataclass(frozen=True, eq=False)
class Skills:
    """Skills per view, concept and context (V, F, F), view 0 all dimensions; NaN where undefined."""

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

    ``views`` names axis V of ``skills``; ``matrices`` maps "concept|context" to the skills (V, L, L) fitted on one
    level, tested on another; ``levels`` names each factor's levels; ``empty`` maps "concept|context" to
    the levels left out and why; ``own`` maps each concept to the group it was scored in.
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
    """Return the UFR of ``prepared``; ``use_match`` scores the best assignment of groups instead of the declared."""
    core = _Core(prepared, resamples)
    within, across = core.within, core.across
    groups = len(core.views) - 1
    best = match(within[0], groups) if groups else [None] * len(prepared.columns)
    own = best if use_match else list(prepared.own)
    judged = judge(within, across, own, groups)
    matched = judge(within, across, best, groups)
    chance_within, chance_across = core.chance(own, permutations)
    by_chance = judge(chance_within, chance_across, own, groups) if permutations else None
    return _report(core, judged, matched, by_chance, own, use_match, chance_within, chance_across)


class _Core:
    """Moments of every context and the skills that follow from them; kept so that chance need not repeat them."""

    def __init__(self, prepared: Prepared, resamples: int) -> None:
        self.prepared = prepared
        self.views = prepared.views
        columns, views = len(prepared.columns), len(self.views)
        self.within = np.full((1 + resamples, views, columns, columns), np.nan)
        self.across = self.within.copy()
        self.parallelism = np.full((views, columns, columns), np.nan)
        self.parallelism_reasons: dict[tuple[int, int], str] = {}
        self.matrices: dict[tuple[int, int], Array] = {}
        self.empty: dict[tuple[int, int], dict[str, str]] = {}
        self.moments: dict[int, Moments] = {}
        self.usable: dict[tuple[int, int], Usable] = {}
        if not prepared.too_few:
            draws = _draws(prepared, resamples)
            for context in prepared.alive:
                self._measure_context(context, draws)

    def _measure_context(self, context: int, draws: Tensor) -> None:
        prepared = self.prepared
        moments = self.moments[context] = moments_of(prepared, prepared.columns[context])
        z = prepared.z[moments.order]
        parts = [z[:, dims] for dims in self.views]
        for concept in prepared.alive:
            if concept == context:
                continue
            column, at = prepared.columns[concept], (concept, context)
            values = column.values[moments.order]
            labels = label_moments(moments, column, z, values)
            can = self.usable[at] = usable(moments, column, values, labels.count)
            self.empty[at] = can.reasons
            probes = fit(moments, column, labels, range(len(self.views)))
            skill = transfer(moments, column, parts, values, probes, can, draws)
            self.matrices[at] = skill.matrix[0].cpu().numpy()
            self.within[:, :, concept, context] = skill.within.cpu().numpy()
            self.across[:, :, concept, context] = skill.across.cpu().numpy()
            squares = moments.cell_sums(values[:, None].to(z.dtype).square(), 1)[..., 0]
            cosine, reason = parallelism(moments, column, labels, squares, can)
            self.parallelism[:, concept, context] = cosine.cpu().numpy()
            if reason:
                self.parallelism_reasons[at] = reason

    def chance(self, own: list[int | None], permutations: int) -> tuple[Array, Array]:
        """Return skills (P, V, F, F) of shuffled labels."""
        columns = len(self.prepared.columns)
        within = np.full((permutations, len(self.views), columns, columns), np.nan)
        across = within.copy()
        rng = self.prepared.rng(CHANCE_STREAM)
        for context, moments in self.moments.items() if permutations else ():
            light = self.prepared.z[moments.order].to(torch.float32)
            parts = [light[:, dims] for dims in self.views]
            shuffled = shuffles(moments, permutations, rng)
            for concept in self.prepared.alive:
                if concept == context:
                    continue
                column, home = self.prepared.columns[concept], own[concept]
                found = chance_skills(
                    moments,
                    column,
                    parts,
                    column.values[moments.order],
                    shuffled,
                    self.usable[concept, context],
                    None if home is None or home == HOMELESS else home + 1,
                )
                within[:, :, concept, context] = found[0].cpu().numpy()
                across[:, :, concept, context] = found[1].cpu().numpy()
        return within, across


def _draws(prepared: Prepared, resamples: int) -> Tensor:
    """Return bootstrap weights (N, B): Poisson(1), which each (concept, context) cell normalises for itself.

    One draw of a sample serves every cell that it is in, so errors common to several cells stay common.
    """
    drawn = prepared.rng(RESAMPLE_STREAM).poisson(1.0, (len(prepared.z), resamples))
    return torch.from_numpy(drawn.astype(np.uint8)).to(prepared.z.device)


def _report(
    core: _Core,
    judged: Judgement,
    matched: Judgement,
    by_chance: Judgement | None,
    own: list[int | None],
    use_match: bool,
    chance_within: Array,
    chance_across: Array,
) -> Ufr:
    prepared = core.prepared
    names = [column.name for column in prepared.columns]
    reasons = [_reason(core, own, c) for c in range(len(names))]
    group_names = prepared.view_names[1:]

    def per_concept(scores: Array, chance: Array | None, *, higher: bool = True) -> dict[str, Value]:
        low, high = interval(scores[1:])
        return {
            name: Value(
                float(scores[0, c]),
                reasons[c] if np.isnan(scores[0, c]) or reasons[c].startswith("no group is left") else "",
                _known(low[c]),
                _known(high[c]),
                _known(mean_of_defined(chance[:, c], axis=0)) if chance is not None else None,
                higher,
            )
            for c, name in enumerate(names)
        }

    value = _headline(core, judged, by_chance, reasons, use_match)
    own_cosines = np.full(len(names), np.nan)
    for c, group in enumerate(own):
        if group is not None and group != HOMELESS:
            own_cosines[c] = mean_of_defined(core.parallelism[group + 1, c], axis=-1)
    labels = {at: f"{names[at[0]]}|{names[at[1]]}" for at in core.matrices}
    leak = {
        name: _with_detail(found, {"from": group_names[source] if source >= 0 else None})
        for (name, found), source in zip(
            per_concept(judged.leak, by_chance.leak if by_chance else None, higher=False).items(),
            judged.leak_from,
            strict=True,
        )
    }
    across_low, across_high = interval(mean_of_defined(core.across[1:, 0], axis=(1, 2)))
    return Ufr(
        value=value,
        matched_value=_headline(core, matched, None, [""] * len(names), True),
        unified=per_concept(judged.unified, by_chance.unified if by_chance else None),
        factored=per_concept(judged.factored, by_chance.factored if by_chance else None),
        leak=leak,
        concept=per_concept(
            judged.unified * judged.factored, by_chance.unified * by_chance.factored if by_chance else None
        ),
        all_dimensions_across=_mean_value(
            core.across[0, 0], _no_matrix(core), _known(across_low), _known(across_high), chance=None
        ),
        parallelism=_mean_value(core.parallelism[0], _cosine_reason(core)),
        parallelism_own=_mean_value(own_cosines, prepared.no_groups or _cosine_reason(core)),
        own={
            name: group_names[group] if group is not None and group != HOMELESS else None
            for name, group in zip(names, own, strict=True)
        },
        matched=use_match,
        concepts=tuple(names),
        views=prepared.view_names,
        levels={column.name: column.level_names for column in prepared.columns},
        skills=_skills(core, chance_within, chance_across),
        matrices={labels[at]: matrix for at, matrix in core.matrices.items()},
        empty={labels[at]: reasons for at, reasons in core.empty.items() if reasons},
    )


def _skills(core: _Core, chance_within: Array, chance_across: Array) -> Skills:
    within, across = core.within[0], core.across[0]
    within_low, within_high = interval(core.within[1:])
    across_low, across_high = interval(core.across[1:])
    readable = np.where(np.isnan(within), -1.0, within) > READABLE
    return Skills(
        within=within,
        within_low=within_low,
        within_high=within_high,
        across=across,
        across_low=across_low,
        across_high=across_high,
        ratio=np.where(readable, across / np.where(readable, within, 1.0), np.nan),
        parallelism=core.parallelism,
        chance_within=mean_of_defined(chance_within, axis=0),
        chance_across=mean_of_defined(chance_across, axis=0),
    )


def _headline(
    core: _Core, judged: Judgement, by_chance: Judgement | None, reasons: list[str], use_match: bool
) -> Value:
    detail: dict[str, Any] = {"own": "matched" if use_match else "declared"}
    if math.isnan(judged.ufr[0]):
        first = core.prepared.no_groups or _no_matrix(core) or next((text for text in reasons if text), "")
        return undefined(first or "no concept has both scores", **detail)
    low, high = interval(judged.ufr[1:])
    if by_chance is not None:
        detail["chance_highest"] = float(np.nanmax(by_chance.ufr))
        detail["permutations"] = len(by_chance.ufr)
    return Value(
        float(judged.ufr[0]),
        "; ".join(core.prepared.notes),
        _known(low),
        _known(high),
        _known(mean_of_defined(by_chance.ufr, axis=0)) if by_chance is not None else None,
        True,
        detail,
    )


def _reason(core: _Core, own: list[int | None], concept: int) -> str:
    """Return why a concept's scores are undefined or zero for want of a place."""
    prepared, column = core.prepared, core.prepared.columns[concept]
    if not column.alive:
        return column.reason
    if prepared.groups is None:
        return prepared.no_groups
    if own[concept] is None:
        return _no_matrix(core) or f"no group is declared to hold '{column.name}'"
    if own[concept] == HOMELESS:
        return f"no group is left for '{column.name}': there are fewer groups than concepts"
    if _no_matrix(core):
        return _no_matrix(core)
    if len(prepared.groups.names) < 2:
        return "one group has nothing to be told apart from; declare at least two"
    empty = {text for at, reasons in core.empty.items() if at[0] == concept for text in reasons.values()}
    return f"no pair of context levels can be scored: {'; '.join(sorted(empty)[:3])}"


def _no_matrix(core: _Core) -> str:
    prepared = core.prepared
    if prepared.too_few:
        return prepared.too_few
    if len(prepared.alive) < 2:
        dead = "; ".join(column.reason for column in prepared.columns if column.reason)
        return "at least two factors that vary are needed, one as concept and one as context" + (
            f" ({dead})" if dead else ""
        )
    return "" if not np.isnan(core.across[0]).all() else "no pair of context levels can be scored"


def _cosine_reason(core: _Core) -> str:
    return _no_matrix(core) or next(iter(core.parallelism_reasons.values()), "")


def _mean_value(
    values: Array, reason: str, low: float | None = None, high: float | None = None, chance: float | None = None
) -> Value:
    mean = float(mean_of_defined(values.ravel(), axis=0))
    return Value(mean, reason if math.isnan(mean) else "", low, high, chance)


def _with_detail(value: Value, detail: Mapping[str, Any]) -> Value:
    return Value(
        value.value, value.reason, value.low, value.high, value.chance, value.higher_is_better, dict(detail)
    )


def _known(number: Any) -> float | None:
    return None if np.isnan(number) else float(number)

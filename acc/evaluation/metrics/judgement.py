"""From skills to scores: unified, factored, and their product. Pure arithmetic over arrays with NaN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acc.evaluation.metrics.jackknife import smoothed
from acc.evaluation.metrics.values import Array, mean_of_defined

READABLE = 0.1  # skill at or below which a concept counts as not readable
HOMELESS = -1  # more concepts than groups: this one has no place of its own, and scores 0


@dataclass(frozen=True, eq=False)
class Judgement:
    """Scores per concept (R, F) and overall (R,); ``leak_from`` (F,) is a group or -1."""

    unified: Array
    factored: Array
    leak: Array
    leak_from: tuple[int, ...]
    ufr: Array


def judge(within: Array, across: Array, own: Sequence[int | None], groups: int) -> Judgement:
    """Return the scores of skills (R, V, F, K), view 0 being all dimensions and view g + 1 group g.

    ``own`` names each concept's group (None: not declared, its scores are NaN).
    Source: Kumar, Clune, Lehman and Stanley 2025 for the question; within and across contexts after Bernardi et
    al. 2020.
    """
    rows, _, concepts, _ = within.shape
    unified = np.full((rows, concepts), np.nan)
    factored, leak = unified.copy(), unified.copy()
    leak_from = [-1] * concepts
    for c, group in enumerate(own):
        if group == HOMELESS:
            unified[:, c] = factored[:, c] = 0.0
        elif group is not None:
            unified[:, c] = mean_of_defined(np.maximum(across[:, group + 1, c], 0), axis=-1)
            leak[:, c], leak_from[c] = _leak(within, own, c, groups)
            factored[:, c] = np.maximum(_kept(within, leak[:, c], group, c), 0)
    return Judgement(unified, factored, leak, tuple(leak_from), mean_of_defined(unified * factored, axis=-1))


def judge_without_each(within: Array, across: Array, own: Sequence[int | None], groups: int) -> Judgement:
    """Return the scores of skills (1 + J, V, F, K), [0] the estimate and [1 + j] without group j of the jackknife.

    Where a leak is the greatest, what is cut off, and whether a concept can be read is as likely as the skills are
    sure: see ``smoothed``.
    """
    whole = judge(within[:1], across[:1], own, groups)

    def score(within: Array, across: Array) -> Array:
        judged = judge(within, across, own, groups)
        return np.stack([judged.unified, judged.factored, judged.leak], axis=1)

    unified, factored, leak = smoothed(score, within, across).swapaxes(0, 1)
    return Judgement(unified, factored, leak, whole.leak_from, mean_of_defined(unified * factored, axis=-1))


def foreign_skills(within: Array, own: Sequence[int | None], concept: int, group: int) -> Array:
    """Return (R,) the skill with which ``concept`` is read from ``group``, what it holds being fixed.

    Holding the owner fixed keeps correlated labels from looking like a leak. Several owners: the least skill.
    No owner, or none with usable levels: the mean over all contexts.
    """
    holders = [k for k, home in enumerate(own) if home == group and k != concept]
    held = within[:, group + 1, concept, holders]
    defined = ~np.isnan(held).all(axis=0) if holders else np.zeros(0, dtype=bool)
    if defined.any():
        lowest: Array = np.nanmin(held[:, defined], axis=1)
        return lowest
    return mean_of_defined(within[:, group + 1, concept], axis=-1)


def match(within: Array, groups: int) -> list[int | None]:
    """Return the one-to-one assignment of groups to concepts with the greatest total within-context skill.

    within (V, F, K). Concepts without any skill defined stay None; those left over are HOMELESS.
    """
    from scipy.optimize import linear_sum_assignment

    skill = mean_of_defined(within[1 : groups + 1], axis=-1)  # G F
    alive = [c for c in range(skill.shape[1]) if not np.isnan(skill[:, c]).all()]
    own: list[int | None] = [None] * skill.shape[1]
    for c in alive:
        own[c] = HOMELESS
    picked_groups, picked = linear_sum_assignment(
        np.clip(np.nan_to_num(skill[:, alive]), 0, 1), maximize=True
    )
    for group, index in zip(picked_groups, picked, strict=True):
        own[alive[index]] = int(group)
    return own


def _leak(within: Array, own: Sequence[int | None], concept: int, groups: int) -> tuple[Array, int]:
    foreign = [group for group in range(groups) if group != own[concept]]
    skills = (
        np.stack([foreign_skills(within, own, concept, group) for group in foreign], axis=1)
        if foreign
        else None
    )
    if skills is None or np.isnan(skills).all():
        return np.full(len(within), np.nan), -1
    worst = int(np.nanargmax(skills[0])) if not np.isnan(skills[0]).all() else -1
    greatest = np.where(np.isnan(skills), -np.inf, skills).max(axis=1)
    return np.maximum(greatest, 0), foreign[worst] if worst >= 0 else -1


def _kept(within: Array, leak: Array, group: int, concept: int) -> Array:
    """Return what a leak leaves of a concept (R,); 0 where it cannot be read from its own group."""
    anywhere = mean_of_defined(within[:, 0, concept], axis=-1)
    at_home = mean_of_defined(within[:, group + 1, concept], axis=-1)
    share = 1 - leak / np.maximum(anywhere, READABLE)
    return np.where(np.isnan(at_home), np.nan, np.where(at_home <= READABLE, 0.0, share))

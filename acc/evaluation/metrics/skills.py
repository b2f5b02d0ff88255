"""Every skill that UFR is made of: each concept in each context, from all dimensions and from each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from acc.evaluation.metrics.chance import chance_skills, shuffles
from acc.evaluation.metrics.judgement import HOMELESS
from acc.evaluation.metrics.labels import Pair, pair_of
from acc.evaluation.metrics.moments import moments_of
from acc.evaluation.metrics.parallelism import parallelism
from acc.evaluation.metrics.prepared import Prepared
from acc.evaluation.metrics.transfer import transfers
from acc.evaluation.metrics.values import Array

CHANCE_STREAM, RESAMPLE_STREAM = 1, 2
At = tuple[int, int]  # concept, context


class SkillTable:
    """Skills within and across contexts (1 + resamples, V, F, F), [0] the estimate, NaN where undefined.

    Axes F are concept and context; view 0 is all dimensions. ``matrices`` (V, L, L) and ``pairs`` belong to
    each (concept, context); the pairs are kept so that chance need not solve anything again.
    """

    def __init__(self, prepared: Prepared, resamples: int) -> None:
        self.prepared = prepared
        self.views = prepared.views
        columns = len(prepared.columns)
        self.within = np.full((1 + resamples, len(self.views), columns, columns), np.nan)
        self.across = self.within.copy()
        self.parallelism = self.within[0].copy()
        self.parallelism_reasons: dict[At, str] = {}
        self.matrices: dict[At, Array] = {}
        self.pairs: dict[int, dict[int, Pair]] = {}
        if not prepared.too_few:
            draws = _draws(prepared, resamples)
            for context in prepared.alive:
                self._measure(context, draws)

    @property
    def nothing(self) -> str:
        """Why there is no skill at all, or empty."""
        prepared = self.prepared
        if prepared.too_few:
            return prepared.too_few
        if len(prepared.alive) < 2:
            dead = "; ".join(column.reason for column in prepared.columns if column.reason)
            needed = "at least two factors that vary are needed, one as concept and one as context"
            return needed + (f" ({dead})" if dead else "")
        if np.isnan(self.across[0]).all():
            return "no pair of context levels can be scored: " + "; ".join(self.empty_reasons()[:3])
        return ""

    def empty_reasons(self, concept: int | None = None) -> list[str]:
        """Return why levels were left out, of one concept or of all."""
        return sorted(
            {
                reason
                for pairs in self.pairs.values()
                for index, pair in pairs.items()
                if concept in (None, index)
                for reason in pair.can.reasons.values()
            }
        )

    def _measure(self, context: int, draws: Tensor) -> None:
        prepared = self.prepared
        moments, z = moments_of(prepared, prepared.columns[context])
        parts = prepared.parts(z)
        pairs = {c: pair_of(moments, prepared.columns[c], z) for c in prepared.alive if c != context}
        self.pairs[context] = pairs
        for batch in _alike(pairs):
            found = transfers([pairs[c] for c in batch], parts, draws)
            for concept, skill in zip(batch, found, strict=True):
                self.matrices[concept, context] = skill.matrix[0].cpu().numpy()
                self.within[:, :, concept, context] = skill.within.cpu().numpy()
                self.across[:, :, concept, context] = skill.across.cpu().numpy()
            cosines, reasons = parallelism([pairs[c] for c in batch])
            for concept, cosine, reason in zip(batch, cosines, reasons, strict=True):
                self.parallelism[:, concept, context] = cosine.cpu().numpy()
                if reason:
                    self.parallelism_reasons[concept, context] = reason

    def chance(self, own: Sequence[int | None], permutations: int) -> tuple[Array, Array]:
        """Return skills (P, V, F, F) of shuffled labels; across contexts only from each concept's own group."""
        columns = len(self.prepared.columns)
        within = np.full((permutations, len(self.views), columns, columns), np.nan)
        across = within.copy()
        rng = self.prepared.rng(CHANCE_STREAM)
        for context, pairs in self.pairs.items() if permutations else ():
            moments = next(iter(pairs.values())).moments if pairs else None
            if moments is None:
                continue
            light = self.prepared.z[moments.order].to(torch.float32)
            parts = self.prepared.parts(light)
            shuffled = shuffles(moments, permutations, rng)
            for concept, pair in pairs.items():
                home = own[concept]
                view = None if home is None or home == HOMELESS else home + 1
                found = chance_skills(pair, parts, shuffled, view)
                within[:, :, concept, context] = found[0].cpu().numpy()
                across[:, :, concept, context] = found[1].cpu().numpy()
        return within, across


def _alike(pairs: Mapping[int, Pair]) -> list[list[int]]:
    """Return the concepts in batches of one kind and number of classes, which are solved and scored together."""
    batches: dict[tuple[str, int], list[int]] = {}
    for concept, pair in pairs.items():
        batches.setdefault((pair.column.kind, pair.column.classes), []).append(concept)
    return list(batches.values())


def _draws(prepared: Prepared, resamples: int) -> Tensor:
    """Return bootstrap weights (N, B): Poisson(1), which each (concept, context) cell normalises for itself.

    One draw of a sample serves every cell that it is in, so errors common to several cells stay common.
    """
    drawn = prepared.rng(RESAMPLE_STREAM).poisson(1.0, (len(prepared.z), resamples))
    return torch.from_numpy(drawn.astype(np.uint8)).to(prepared.z.device)

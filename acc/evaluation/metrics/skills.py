"""Every skill that UFR is made of: each concept in each context, from all dimensions and from each group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from acc.evaluation.metrics.chance import chance_skills, shuffles
from acc.evaluation.metrics.jackknife import smoothed
from acc.evaluation.metrics.judgement import HOMELESS
from acc.evaluation.metrics.labels import Pair, pair_of, without_each
from acc.evaluation.metrics.moments import Moments, moments_of
from acc.evaluation.metrics.parallelism import cosines_of, parallelism
from acc.evaluation.metrics.prepared import FOLDS, Prepared
from acc.evaluation.metrics.transfer import errors_of, transfers, transfers_kept, transfers_without
from acc.evaluation.metrics.values import Array

CHANCE_STREAM = 1
# Within contexts a probe is at its best, so that it matters by chance alone whom it was fitted on. A sample then counts
# by how it is tested and, in the other folds, by how it is fitted on, both alike: left out of the test alone (1) the
# variance is half of what it is, left out of both (1 + 1) twice. Left out of one and of this share of the other: once.
REFITTED = 2**0.5 - 1
AT_ONCE = 1 << 20  # numbers of a temporary array
At = tuple[int, int]  # concept, context


class SkillTable:
    """Skills within and across contexts and parallelism (1 + J, V, F, F), NaN where undefined.

    [0] is the estimate, [1 + j] what it is without group j of the jackknife, when everything is fitted and tested
    without it; within contexts what refitting changes counts by ``REFITTED``. ``cosines`` are those that parallelism
    is the mean of, not cut off, (1 + J, V, pairs of levels) of each (concept, context). Axes F are concept and
    context; view 0 is all dimensions. ``matrices`` (V, L, L) and ``pairs`` belong to
    each (concept, context); the pairs are kept so that chance need not solve anything again.
    """

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.views = prepared.views
        self.replicates = prepared.dealt.groups
        columns = len(prepared.columns)
        self.within = np.full((1 + self.replicates, len(self.views), columns, columns), np.nan)
        self.across = self.within.copy()
        self.parallelism = self.within.copy()
        self.cosines: dict[At, Array] = {}
        self.parallelism_reasons: dict[At, str] = {}
        self.matrices: dict[At, Array] = {}
        self.pairs: dict[int, dict[int, Pair]] = {}
        if not prepared.too_few:
            for context in prepared.alive:
                self._measure(context)

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

    def _measure(self, context: int) -> None:
        prepared = self.prepared
        moments, z = moments_of(prepared, prepared.columns[context])
        parts = prepared.parts(z)
        pairs = {c: pair_of(moments, prepared.columns[c], z) for c in prepared.alive if c != context}
        self.pairs[context] = pairs
        if not pairs:
            return
        batches = _alike(pairs)
        errors: list[Tensor] = []
        for batch in batches:
            alike = [pairs[c] for c in batch]
            errors.append(errors_of(alike, parts))
            for concept, skill in zip(batch, transfers(alike, errors[-1]), strict=True):
                self.matrices[concept, context] = skill.matrix.cpu().numpy()
                self.within[0, :, concept, context] = skill.within.cpu().numpy()
                self.across[0, :, concept, context] = skill.across.cpu().numpy()
            cosines, reasons = cosines_of(alike)
            for concept, cosine, reason in zip(batch, cosines, reasons, strict=True):
                self.cosines[concept, context] = np.full((1 + self.replicates, *cosine.shape), np.nan)
                self.cosines[concept, context][0] = cosine.cpu().numpy()
                if reason:
                    self.parallelism_reasons[concept, context] = reason
        self._leave_out(context, batches, errors, parts)
        for concept in pairs:
            for view, each in enumerate(self.cosines[concept, context].swapaxes(0, 1)):
                # No true cosine exceeds 1, so what the estimates may have been lies around them as they are cut off.
                around = np.concatenate([np.clip(each[:1], -1, 1), each[1:]])
                self.parallelism[:, view, concept, context] = smoothed(parallelism, around)

    def _leave_out(
        self,
        context: int,
        batches: Sequence[Sequence[int]],
        errors: Sequence[Tensor],
        parts: Sequence[Tensor],
    ) -> None:
        """Measure a context again without each group of the jackknife; errors (V, L, P, N) of each batch."""
        pairs, z = self.pairs[context], parts[0]
        moments = next(iter(pairs.values())).moments
        group = self.prepared.dealt.group[moments.order]
        light = self.prepared.parts(z.to(torch.float32))
        for groups in _few_at_once(self.replicates, moments, max(p.column.classes for p in pairs.values())):
            at = slice(1 + groups.start, 1 + groups.stop)
            tested = group != torch.arange(groups.start, groups.stop, device=group.device)[:, None]
            fewer = dict(zip(pairs, without_each(list(pairs.values()), group, groups, z), strict=True))
            for batch, error in zip(batches, errors, strict=True):
                whole, less = [pairs[c] for c in batch], [fewer[c] for c in batch]
                for concept, kept, refitted in zip(
                    batch,
                    transfers_kept(whole, error, tested),
                    transfers_without(whole, less, light, tested),
                    strict=True,
                ):
                    within = torch.lerp(kept.within, refitted.within, REFITTED)
                    self.within[at, :, concept, context] = within.cpu().numpy()
                    self.across[at, :, concept, context] = refitted.across.cpu().numpy()
                for number in range(len(groups)):
                    levels = slice(number * moments.levels, (number + 1) * moments.levels)
                    cosines, _ = cosines_of([pair.levels_at(levels) for pair in less])
                    for concept, cosine in zip(batch, cosines, strict=True):
                        self.cosines[concept, context][at.start + number] = cosine.cpu().numpy()

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


def _few_at_once(groups: int, moments: Moments, classes: int) -> Iterator[range]:
    """Yield the groups of the jackknife in runs whose second moments and scores fit into a cache, or nearly."""
    per_group = max(moments.second.numel(), len(moments.cell) // FOLDS * moments.levels * classes)
    many = max(1, AT_ONCE // max(1, per_group))
    for start in range(0, groups, many):
        yield range(start, min(start + many, groups))


def _alike(pairs: Mapping[int, Pair]) -> list[list[int]]:
    """Return the concepts in batches of one kind and number of classes, which are solved and scored together."""
    batches: dict[tuple[str, int], list[int]] = {}
    for concept, pair in pairs.items():
        batches.setdefault((pair.column.kind, pair.column.classes), []).append(concept)
    return list(batches.values())

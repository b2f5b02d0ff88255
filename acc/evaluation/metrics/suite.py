"""The whole suite in one call, and its result as one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from acc.evaluation.metrics.dci import CONCENTRATIONS, Dci, dci_gam, dci_trees, dci_without_each
from acc.evaluation.metrics.explicitness import Explicitness, explicitness
from acc.evaluation.metrics.information import Information, information, information_without_each
from acc.evaluation.metrics.inputs import Factor, Groups
from acc.evaluation.metrics.jackknife import GROUPS, told_wide, with_intervals
from acc.evaluation.metrics.judgement import HOMELESS, foreign_skills
from acc.evaluation.metrics.prepared import Prepared, prepare
from acc.evaluation.metrics.sap import Sap, sap, sap_without_each
from acc.evaluation.metrics.spectrum import Spectrum, spectrum
from acc.evaluation.metrics.ufr import Ufr, measure_ufr
from acc.evaluation.metrics.values import Array, Value, jsonable, mean_of_defined

WIDEST_WITH_INTERVALS = 128  # active dimensions; the additive model of more is too slow to be fitted 20 times
VERSION = 3  # raise it when any number may change for the same input


@dataclass(frozen=True, eq=False)
class Leakage:
    """What can be read from where: (G, F) skills, NaN where undefined.

    ``within`` the mean within-context skill of each concept from each group; ``held`` the same at fixed
    levels of the concept that the group holds, which is what counts as a leak. ``own`` names the home of each
    concept.
    """

    groups: tuple[str, ...]
    concepts: tuple[str, ...]
    within: Array
    held: Array
    own: dict[str, str | None]
    reason: str = ""


@dataclass(frozen=True, eq=False)
class MetricSuite:
    """Every metric of one representation.

    ``units`` counts rows that belong together as one; ``groups_left_out`` are those of the jackknife. ``dead`` maps
    factors with one value to the reason; ``notes`` are sentences about the latents as a whole.
    """

    version: int
    n: int
    units: int
    groups_left_out: int
    dimensions: int
    active: tuple[bool, ...]
    seed: int
    factors: dict[str, str]
    dead: dict[str, str]
    notes: tuple[str, ...]
    ufr: Ufr
    leakage: Leakage
    dci: Dci
    dci_trees: Dci | None
    information: Information
    sap: Sap
    explicitness: Explicitness
    spectrum: Spectrum

    def headline(self) -> dict[str, Value]:
        """Return the scalar metrics by name, in the order in which a table shows them."""
        ufr, info = self.ufr, self.information
        table = {
            "ufr": ufr.value,
            "unified": ufr.mean_unified,
            "factored": ufr.mean_factored,
            "ufr_matched": ufr.matched_value,
            "transfer_all_dimensions": ufr.all_dimensions_across,
            "parallelism": ufr.parallelism,
            "parallelism_own": ufr.parallelism_own,
        }
        for dci in (self.dci, self.dci_trees):
            if dci is not None:
                table |= {
                    f"{dci.estimator}_disentanglement": dci.disentanglement,
                    f"{dci.estimator}_completeness": dci.completeness,
                    f"{dci.estimator}_informativeness": dci.informativeness,
                    f"{dci.estimator}_disentanglement_groups": dci.group_disentanglement,
                    f"{dci.estimator}_completeness_groups": dci.group_completeness,
                }
        return table | {
            "mig": info.mig,
            "mig_corrected": info.mig_corrected,
            "mig_groups": info.group_mig,
            "mig_corrected_groups": info.group_mig_corrected,
            "sap": self.sap.sap,
            "sap_groups": self.sap.group_sap,
            "modularity": info.modularity,
            "modularity_groups": info.group_modularity,
            "explicitness": self.explicitness.explicitness,
            "explicitness_own": self.explicitness.own_explicitness,
            "effective_rank": self.spectrum.effective_rank,
            "effective_rank_standardised": self.spectrum.effective_rank_standardised,
            "participation_ratio": self.spectrum.participation_ratio,
            "participation_ratio_standardised": self.spectrum.participation_ratio_standardised,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON types: NaN is None, and its reason stands beside it."""
        found = {field.name: jsonable(getattr(self, field.name)) for field in fields(self)}
        return found | {"headline": jsonable(self.headline())}


def suite(
    latents: Tensor | ArrayLike,
    factors: Sequence[Factor],
    groups: Groups | Mapping[str, tuple[int, int]] | None = None,
    own: Mapping[str, str] | None = None,
    *,
    seed: int,
    match: bool = False,
    permutations: int = 20,
    resamples: int = GROUPS,
    trees: bool = False,
    units: ArrayLike | None = None,
) -> MetricSuite:
    """Return every metric of latents (N, D), computed in float64 on the device they are on.

    ``groups`` maps names to (start, end); ``own`` concepts to the group that holds them (default: the group
    of the same name). Dimensions in no group are one more group. ``match`` scores the best assignment instead.
    ``units`` (N,): rows of the same number belong together (the versions of one scan) and are never divided between
    folds or groups of the jackknife, which gives the intervals by leaving out each of ``resamples`` groups (0: no
    intervals). ``trees`` adds the slow DCI. The same
    input and seed give the same numbers, in whatever order the samples come. Raises InvalidInput for shapes
    and names that do not fit; latents that are constant or not finite are scored, not refused.
    """
    prepared = prepare(latents, factors, groups, own, seed=seed, units=units, resamples=resamples)
    ufr = measure_ufr(prepared, use_match=match, permutations=permutations)
    fewer = [prepared.without(group) for group in range(prepared.dealt.groups)]

    def found(
        measure: Callable[[Prepared], Any],
        smooth: Callable[[Prepared, Sequence[Any]], dict[str, Array]] | None = None,
        among: Sequence[Prepared] = fewer,
    ) -> Any:
        each = [measure(one) for one in (prepared, *among)]
        some = smooth is not None and len(each) > 1 and not prepared.no_factor and not prepared.nothing
        return with_intervals(each[0], each[1:], smooth(prepared, each) if smooth and some else None)

    def additive() -> Dci:
        dci: Dci = found(dci_gam, dci_without_each, () if wide else fewer)
        told: dict[str, Any] = {name: told_wide(getattr(dci, name)) for name in CONCENTRATIONS}
        return replace(dci, **told)

    wide = int(prepared.active.sum()) > WIDEST_WITH_INTERVALS
    return MetricSuite(
        version=VERSION,
        n=len(prepared.z),
        units=prepared.units,
        groups_left_out=prepared.dealt.groups,
        dimensions=prepared.z.shape[1],
        active=tuple(prepared.active.tolist()),
        seed=seed,
        factors={column.name: column.kind for column in prepared.columns},
        dead={column.name: column.reason for column in prepared.columns if not column.alive},
        notes=prepared.notes,
        ufr=ufr,
        leakage=_leakage(prepared, ufr),
        dci=additive(),
        dci_trees=dci_trees(prepared) if trees else None,
        information=found(information, information_without_each),
        sap=found(sap, sap_without_each),
        explicitness=found(explicitness),
        spectrum=found(spectrum),
    )


def _leakage(prepared: Prepared, ufr: Ufr) -> Leakage:
    names = ufr.views[1:]
    own = [names.index(home) if home is not None else HOMELESS for home in ufr.own.values()]
    within = ufr.skills.within[None]
    held = np.full((len(names), len(own)), np.nan)
    for c in range(len(own)):
        for group in range(len(names)):
            held[group, c] = foreign_skills(within, own, c, group)[0]
    return Leakage(
        names, ufr.concepts, mean_of_defined(within[0, 1:], axis=-1), held, ufr.own, prepared.no_groups
    )

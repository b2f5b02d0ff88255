"""The axes of a latent that are traversed and sorted by, and the direction at each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from acc.errors import InvalidInput
from acc.evaluation.encoding import Encoded
from acc.evaluation.metrics.directions import QUANTILES, Direction, pattern_direction, principal_direction
from acc.results import LatentAxis

DIRECTIONS = ("principal", "pattern", "dimensions")
MAX_DIMENSIONS = 128
NO_GROUPS = "the model has no factor groups; look at its dimensions instead (direction 'dimensions')"


def own_groups(encoded: Encoded, own: Mapping[str, str] | None) -> dict[str, str]:
    """Return concept -> the group that holds it; by default the group of the concept's own name.

    Raises InvalidInput (own) for a concept that is no target of the dataset, or a group that does not exist.
    """
    concepts = [column.name for column in encoded.dataset.target_specs]
    groups = [group.name for group in encoded.model.factor_groups]
    if not own:
        return {name: name for name in concepts if name in groups}
    for concept, group in own.items():
        if concept not in concepts:
            known = ", ".join(concepts) or "none"
            raise InvalidInput({"own": f"{concept!r} is not a target of the dataset; it has: {known}"})
        if group not in groups:
            known = ", ".join(groups) or "none"
            raise InvalidInput({"own": f"{group!r} is not a factor group of the model; it has: {known}"})
    return dict(own)


def axes(
    encoded: Encoded,
    direction: str,
    own: Mapping[str, str] | None = None,
    groups: Sequence[str] = (),
) -> list[LatentAxis]:
    """Return the axes to look at: the factor groups, or single dimensions of all of them.

    groups: only these (default: all). Of more than 128 dimensions those that vary most. Raises InvalidInput
    (direction, groups, own).
    """
    if direction not in DIRECTIONS:
        right = ", ".join(DIRECTIONS)
        raise InvalidInput({"direction": f"{direction!r} is no direction; choose of: {right}"})
    model = encoded.model
    for name in groups:
        if name not in [group.name for group in model.factor_groups]:
            known = ", ".join(group.name for group in model.factor_groups) or "none"
            raise InvalidInput({"groups": f"{name!r} is not a factor group of this model; it has: {known}"})
    chosen = [group for group in model.factor_groups if not groups or group.name in groups]
    if direction != "dimensions":
        holds = {group: concept for concept, group in own_groups(encoded, own).items()}
        concept_of = holds if direction == "pattern" else {}
        return [
            LatentAxis(group.name, group.start, group.end, direction, concept_of.get(group.name, ""))
            for group in chosen
        ]
    of_group = {d: group.name for group in chosen for d in range(group.start, group.end)}
    dimensions = sorted(of_group) if groups else list(range(model.latent_dim))
    if len(dimensions) > MAX_DIMENSIONS:
        spread = np.nan_to_num(encoded.z[:, dimensions].std(axis=0))
        largest = np.sort(np.argsort(-spread, kind="stable")[:MAX_DIMENSIONS])
        dimensions = [dimensions[at] for at in largest.tolist()]
    return [LatentAxis(of_group.get(d, ""), d, d + 1, "dimension") for d in dimensions]


def direction_at(encoded: Encoded, axis: LatentAxis, steps: int) -> tuple[Direction | None, str]:
    """Return the direction of an axis with its steps over the 2-98 % quantiles, or None and why there is none."""
    if encoded.not_finite:
        return None, encoded.not_finite
    z = encoded.z[:, axis.start : axis.end]
    if not np.ptp(z, axis=0).any():
        return None, f"{axis.name} is the same for all {len(z)} images"
    if axis.direction == "dimension":
        low, high = np.quantile(z[:, 0], QUANTILES)
        return Direction(np.ones(1), np.zeros(1), np.linspace(low, high, steps)), ""
    if axis.direction == "principal":
        return principal_direction(z, steps), ""
    return _pattern_at(encoded, axis, z, steps)


def _pattern_at(
    encoded: Encoded, axis: LatentAxis, z: NDArray[np.float64], steps: int
) -> tuple[Direction | None, str]:
    if not axis.concept:
        return None, f"no concept is declared to be held by '{axis.group}', so no probe has a pattern in it"
    values = _ordered_values(encoded, axis.concept, z)
    if values is None:
        return None, f"'{axis.concept}' does not vary over these {len(z)} images, so no probe can read it"
    found = pattern_direction(z, values, steps)
    return found, "" if found else f"'{axis.concept}' has no direction in '{axis.group}'"


def _ordered_values(encoded: Encoded, concept: str, z: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the concept as numbers (N,), or None if it does not vary.

    Classes are numbered by where their means lie along the line on which these differ most.
    """
    values = np.asarray(encoded.dataset.targets[concept])[encoded.rows]
    if not np.ptp(values):
        return None
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    classes, codes = np.unique(values, return_inverse=True)
    means = np.stack([z[codes == code].mean(axis=0) for code in range(len(classes))])
    line = np.linalg.svd(means - means.mean(axis=0))[2][0]
    ordered: NDArray[np.float64] = (means @ (line * np.sign(line[np.abs(line).argmax()])))[codes]
    return ordered if np.ptp(ordered) else None

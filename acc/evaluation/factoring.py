"""The whole metric suite on one dataset, with what a cell of its matrix is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from acc.errors import InvalidInput
from acc.evaluation.axes import own_groups
from acc.evaluation.encoding import Encoded, sample_of
from acc.evaluation.metrics.inputs import Factor, Groups
from acc.evaluation.metrics.jackknife import GROUPS
from acc.evaluation.metrics.levels import context_levels
from acc.evaluation.metrics.suite import VERSION, suite
from acc.evaluation.traversal_scores import SEEDS, score_traversals
from acc.results import Factoring
from acc.specs import TargetSpec

CELL_IMAGES = 8


def factoring(
    encoded: Encoded,
    *,
    concepts: Sequence[str] = (),
    own: Mapping[str, str] | None = None,
    match: bool = False,
    permutations: int = 20,
    resamples: int = GROUPS,
    trees: bool = False,
    cleanness_seeds: int = SEEDS,
    seed: int = 0,
) -> Factoring:
    """Return every metric of the encoded rows, the rows behind each cell, and the cleanness of traversals.

    concepts: target columns that are factors, and contexts of each other (default: those that a group holds, if
    there are two, else all); own: concept -> the group that holds it (default: the group of its name).
    ``cleanness_seeds`` 0 leaves traversals out. Raises InvalidInput (concepts, own) for names that do not
    exist and for a dataset without targets.
    """
    held = own_groups(encoded, own)
    columns = chosen_columns(encoded, concepts or (tuple(held) if len(held) > 1 else ()))
    names = [column.name for column in columns]
    held = {name: group for name, group in held.items() if name in names}
    if own and (unused := sorted(own.keys() - held.keys())):
        raise InvalidInput({"own": f"{unused[0]!r} is not among the concepts: {', '.join(names)}"})
    factors = [_factor(encoded, column) for column in columns]
    groups = Groups.ranges({group.name: (group.start, group.end) for group in encoded.model.factor_groups})
    measured = suite(
        encoded.latents,
        factors,
        groups if groups.names else None,
        held if groups.names else None,
        seed=seed,
        match=match,
        permutations=permutations,
        resamples=resamples,
        trees=trees,
        units=encoded.rows if encoded.units is None else encoded.units,
    )
    asked = [VERSION, names, held, match, seed, measured.groups_left_out]
    pattern, principal, unmeasured = score_traversals(encoded, held, seeds=cleanness_seeds, seed=seed)
    return Factoring(
        dataset_key=encoded.dataset_key,
        n=len(encoded.rows),
        rows=encoded.words,
        sample=sample_of(encoded.dataset, encoded.rows, *asked),
        suite=measured,
        cells=_cells(encoded, factors),
        cleanness=pattern,
        cleanness_principal=principal,
        unmeasured=unmeasured,
    )


def chosen_columns(encoded: Encoded, concepts: Sequence[str]) -> list[TargetSpec]:
    """Return the target columns called ``concepts``, or all; raises InvalidInput (concepts)."""
    columns = {column.name: column for column in encoded.dataset.target_specs}
    there = ", ".join(columns) or "none"
    if not columns:
        raise InvalidInput({"concepts": f"the dataset '{encoded.dataset_key}' has no targets to be read"})
    for name in concepts:
        if name not in columns:
            raise InvalidInput({"concepts": f"{name!r} is not a target of the dataset; it has: {there}"})
    return [columns[name] for name in dict.fromkeys(concepts or columns)]


def _factor(encoded: Encoded, column: TargetSpec) -> Factor:
    values = np.asarray(encoded.dataset.targets[column.name])[encoded.rows]
    if column.kind == "real":
        return Factor.cont(column.name, values)
    return Factor.cat(column.name, np.asarray(column.labels)[values] if column.labels else values)


def _cells(encoded: Encoded, factors: Sequence[Factor]) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return for each concept and context the rows of each level, evenly over the concept's values."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for context in factors:
        codes, levels = context_levels(context)
        for concept in factors:
            if concept is context:
                continue
            order = np.argsort(concept.values, kind="stable")
            cell: dict[str, tuple[int, ...]] = {}
            for code, level in enumerate(levels):
                there = order[codes[order] == code]
                even = np.linspace(0, len(there) - 1, min(CELL_IMAGES, len(there))).round().astype(int)
                cell[level] = tuple(encoded.rows[there[even]].tolist())
            found[f"{concept.name}|{context.name}"] = cell
    return found

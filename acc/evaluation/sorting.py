"""Images in the order in which they activate an axis of the latent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from acc.evaluation.axes import axes, direction_at
from acc.evaluation.encoding import Encoded
from acc.results import SortedImages, SortedRows

COUNT = 20


def sort_by_activation(
    encoded: Encoded,
    *,
    count: int = COUNT,
    direction: str = "principal",
    own: Mapping[str, str] | None = None,
    groups: Sequence[str] = (),
) -> list[SortedImages]:
    """Return the ``count`` images with the lowest and the highest activation of each group or dimension.

    Activation is the position along the direction of a traversal; equal ones stand by row number. Of fewer
    than twice ``count`` images each end has half.
    """
    result = []
    for axis in axes(encoded, direction, own, groups):
        line, reason = direction_at(encoded, axis, 2)
        if line is None:
            result.append(SortedImages(encoded.dataset_key, axis, None, None, reason))
            continue
        activation = line.project(encoded.z[:, axis.start : axis.end])
        order = np.argsort(activation, kind="stable")
        each = min(count, max(1, len(order) // 2))
        low, high = order[:each], order[::-1][:each]
        result.append(
            SortedImages(
                encoded.dataset_key, axis, _rows(encoded, activation, low), _rows(encoded, activation, high)
            )
        )
    return result


def _rows(encoded: Encoded, activation: NDArray[np.float64], at: NDArray[np.intp]) -> SortedRows:
    rows = encoded.rows[at]
    return SortedRows(
        indices=tuple(rows.tolist()),
        activations=activation[at],
        images=encoded.images(rows),
        targets={name: np.asarray(values)[rows] for name, values in encoded.dataset.targets.items()},
    )

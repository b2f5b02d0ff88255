"""Traversals: what the decoder draws while one axis of the latent moves and all else stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from acc.evaluation.axes import axes, direction_at
from acc.evaluation.encoding import Encoded
from acc.evaluation.metrics.directions import STEPS, Direction
from acc.models.output import pool
from acc.results import LatentAxis, Traversal

SEEDS = 5
NOTHING = np.zeros(0, dtype=np.float64)


def traverse(
    encoded: Encoded,
    *,
    seeds: int = SEEDS,
    steps: int = STEPS,
    direction: str = "principal",
    own: Mapping[str, str] | None = None,
    groups: Sequence[str] = (),
    seed: int = 0,
) -> list[Traversal]:
    """Return one traversal for each factor group, or for each dimension.

    direction: ``principal`` (the group's first principal component), ``pattern`` (of the ridge probe of the
    concept that the group holds), or ``dimensions``. Steps lie evenly over the 2-98 % quantiles of the encoded
    rows. All are drawn in one run of the decoder. An axis without a direction has a reason and no images.
    """
    rows = encoded.examples(seeds, seed)
    start = encoded.posterior(rows)
    shown = encoded.images(rows)
    indices = tuple(rows.tolist())
    found: list[tuple[LatentAxis, Direction | None, str]] = [
        (axis, *direction_at(encoded, axis, steps)) for axis in axes(encoded, direction, own, groups)
    ]
    moved = [moved_latents(start, axis, line) for axis, line, _ in found if line is not None]
    drawn = iter(np.split(encoded.decode(torch.cat(moved)), len(moved)) if moved else [])
    pooled = pool(start).double().cpu().numpy()
    result = []
    for axis, line, reason in found:
        if line is None:
            empty = np.zeros((0, 0, *shown.shape[1:]), dtype=np.uint8)
            result.append(
                Traversal(encoded.dataset_key, axis, indices, shown, empty, NOTHING, NOTHING, reason)
            )
            continue
        images = next(drawn).reshape(len(rows), steps, *shown.shape[1:])
        starts = line.project(pooled[:, axis.start : axis.end])
        result.append(Traversal(encoded.dataset_key, axis, indices, shown, images, line.positions, starts))
    return result


def moved_latents(start: Tensor, axis: LatentAxis, line: Direction) -> Tensor:
    """Return latents ``(S * T, D[, h, w])``: ``start`` moved to each position of the line, seed by seed.

    A spatial latent moves by the same amount at all of its places, so its mean moves as asked.
    """
    pooled = pool(start).double().cpu().numpy()[:, axis.start : axis.end]
    shift = line.traverse(pooled) - pooled[:, None]  # (S, T, width)
    moved = start[:, None].repeat(1, shift.shape[1], *([1] * (start.dim() - 1)))
    by = torch.from_numpy(shift).to(start)
    moved[:, :, axis.start : axis.end] += by.view(*by.shape, *([1] * (start.dim() - 2)))
    return moved.flatten(0, 1)

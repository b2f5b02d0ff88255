"""Cleanness of traversals: concepts that can be measured on an image are measured on what the decoder draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from acc.data import morphology
from acc.evaluation.axes import axes, direction_at
from acc.evaluation.encoding import Encoded
from acc.evaluation.metrics.cleanness import cleanness
from acc.evaluation.metrics.directions import STEPS, Direction
from acc.evaluation.traversals import moved_latents
from acc.results import LatentAxis, Pixels, TraversalScore

Measure = Callable[[Pixels], NDArray[np.float32]]

MEASURES: Mapping[str, Measure] = {"thickness": morphology.thickness, "slant": morphology.slant}
"""What a concept's name says how to measure, on images (N, 1, H, W)."""
SEEDS = 40
SPREAD_ROWS = 300
NEIGHBOURS = 5
CLASSIFIER_SIDE_PIXELS = 8
CLASSIFIER_ROWS = 5_000


Scores = dict[str, TraversalScore]


def score_traversals(
    encoded: Encoded, own: Mapping[str, str], *, seeds: int = SEEDS, seed: int = 0
) -> tuple[Scores, Scores, dict[str, str]]:
    """Return by concept the cleanness of its group's traversals, and why there is none for the others.

    own: concept -> group. The group moves over nine steps from ``seeds`` fixed images (0: nothing is scored):
    first along the pattern of its concept's probe, then along its first principal component, which knows no
    label. Whether an image is still of its seed's class is asked of a nearest-neighbour classifier on the
    dataset's own images, for the first class target.
    """
    if seeds < 1:
        return {}, {}, dict.fromkeys(own, "traversals were not asked for")
    if encoded.dataset.images.shape[1] != 1:
        return {}, {}, dict.fromkeys(own, "thickness and slant are measured on grey images only")
    names = [name for name in own if name in MEASURES]
    unmeasured = {
        name: f"'{name}' cannot be measured on an image; {' and '.join(MEASURES)} can"
        for name in own
        if name not in MEASURES
    }
    if not names:
        return {}, {}, unmeasured
    ruler = _Ruler(encoded, names, encoded.examples(seeds, seed), seed)
    found: list[Scores] = []
    for direction in ("pattern", "principal"):
        scores: Scores = {}
        for name in names:
            [axis] = axes(encoded, direction, {name: own[name]}, [own[name]])
            line, reason = direction_at(encoded, axis, STEPS)
            if line is None:
                unmeasured[name] = reason
            else:
                scores[name] = ruler.score(name, axis, line)
        found.append(scores)
    return found[0], found[1], unmeasured


class _Ruler:
    """Measures the concepts on what the decoder draws, from the same seed images each time."""

    def __init__(self, encoded: Encoded, names: list[str], rows: NDArray[np.int64], seed: int) -> None:
        self._encoded, self._names, self._rows = encoded, names, rows
        sample = encoded.images(encoded.examples(SPREAD_ROWS, seed))
        self._spread = np.array([MEASURES[name](sample).std() for name in names])
        self._start, self._same = encoded.posterior(rows), SameClass(encoded, rows)

    def score(self, concept: str, axis: LatentAxis, line: Direction) -> TraversalScore:
        drawn = self._encoded.decode(moved_latents(self._start, axis, line))
        measured = np.stack([MEASURES[name](drawn) for name in self._names], axis=1)
        shape = (len(self._rows), STEPS)
        score = cleanness(
            measured.reshape(*shape, -1),
            self._spread,
            self._names.index(concept),
            self._same(drawn).reshape(shape) if self._same else None,
        )
        return TraversalScore(concept, axis.group, axis.direction, len(self._rows), score)


class SameClass:
    """Tells whether images are still of their seeds' class, by the five nearest images of the dataset."""

    def __init__(self, encoded: Encoded, rows: NDArray[np.int64]) -> None:
        column = next((column for column in encoded.dataset.target_specs if column.kind == "class"), None)
        self._classes = column.classes or 0 if column else 0
        if column is None:
            return
        known = encoded.examples(CLASSIFIER_ROWS, 0)
        labels = np.asarray(encoded.dataset.targets[column.name])
        self._features, self._labels = _features(encoded.images(known)), labels[known]
        self._seeds = labels[rows]

    def __bool__(self) -> bool:
        return self._classes > 1

    def __call__(self, drawn: Pixels) -> NDArray[np.float64]:
        """Return 1 for each image ``(seeds * steps, 1, H, W)``, seed by seed, that is of its seed's class."""
        asked = _features(drawn)
        distance = (self._features**2).sum(axis=1) - 2 * asked @ self._features.T
        nearest = np.argpartition(distance, min(NEIGHBOURS, distance.shape[1]) - 1, axis=1)[:, :NEIGHBOURS]
        votes = np.zeros((len(asked), self._classes))
        np.add.at(votes, (np.arange(len(asked))[:, None], self._labels[nearest]), 1)
        truth = np.repeat(self._seeds, len(asked) // len(self._seeds))
        same: NDArray[np.float64] = (votes.argmax(axis=1) == truth).astype(np.float64)
        return same


def _features(images: Pixels) -> NDArray[np.float64]:
    """Return images as small ones (N, 64) of unit length, so that faint and bold ink count alike."""
    height, width = images.shape[2:]
    factors = (1, CLASSIFIER_SIDE_PIXELS / height, CLASSIFIER_SIDE_PIXELS / width)
    blurred = ndimage.uniform_filter(
        images[:, 0].astype(np.float64),
        (0, max(1, height // CLASSIFIER_SIDE_PIXELS), max(1, width // CLASSIFIER_SIDE_PIXELS)),
    )
    small = ndimage.zoom(blurred, factors, order=1, grid_mode=True, mode="grid-constant")
    flat = small.reshape(len(images), -1)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    features: NDArray[np.float64] = flat / np.where(length > 0, length, 1.0)
    return features

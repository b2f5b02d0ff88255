"""One encoding pass over a dataset, from which everything about its latents is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acc.errors import InvalidInput
from acc.models import Model
from acc.rng import seed_for
from acc.training.batch import Indices, Stored
from acc.training.split import HELD_OUT, Split, fixed_examples, split_of

if TYPE_CHECKING:
    from acc.data import AccDataset
    from acc.specs import FactorGroup, TargetSpec, TrainJobSpec

BATCH_SIZE = 256
MAX_ROWS = 20_000
NEVER_SEEN = "all, of a dataset that was not trained on"
COMBINATIONS = "of held-out combinations"
TEST = "test rows of the split that came with the data"
HELD_OUT_IMAGES = "held-out images"
TRAINING_IMAGES = "training images, for none are held out"
TRAINED_ON = "all, those trained on among them, which flatters the model"


@dataclass(frozen=True, eq=False)
class Encoded:
    """Rows of a dataset with their posterior means. ``latents`` (N, D) float32, pooled, on the device."""

    dataset_key: str
    stored: Stored
    model: Model
    rows: Indices
    words: str
    latents: Tensor

    @property
    def dataset(self) -> AccDataset:
        """The dataset that the rows belong to."""
        return self.stored.dataset

    @cached_property
    def z(self) -> NDArray[np.float64]:
        """The latents (N, D) as numbers."""
        return self.latents.double().cpu().numpy()

    @cached_property
    def not_finite(self) -> str:
        """Why nothing can be drawn from the latents, or empty."""
        bad = np.flatnonzero(~np.isfinite(self.z).all(axis=0))
        shown = ", ".join(map(str, bad[:8].tolist())) + (", ..." if len(bad) > 8 else "")
        return f"the latents of {len(bad)} dimensions ({shown}) are not finite numbers" if len(bad) else ""

    @property
    def units(self) -> Indices | None:
        """The unit of each of the rows (N,), or None where each row stands for itself."""
        return None if self.dataset.units is None else np.asarray(self.dataset.units)[self.rows]

    def examples(self, count: int, seed: int) -> Indices:
        """Return ``count`` of the rows, the same for every checkpoint of an experiment."""
        return fixed_examples(self.dataset, self.rows, count=count, seed=seed)

    def images(self, rows: Indices) -> NDArray[np.uint8]:
        """Return images of the dataset, uint8 ``(K, C, H, W)``."""
        return self.dataset.read(rows)

    def posterior(self, rows: Indices) -> Tensor:
        """Return posterior means ``(K, D)`` or ``(K, D, h, w)`` of rows, as the decoder reads them."""
        return self.model.encode(self.stored.batch(rows).images).mean

    def decode(self, z: Tensor) -> NDArray[np.uint8]:
        """Return what the decoder draws of latents, uint8 ``(K, C, H, W)``."""
        drawn = [to_pixels(self.model.decode(part)) for part in z.split(BATCH_SIZE)]
        return torch.cat(drawn).cpu().numpy()


def sample_of(dataset: AccDataset, rows: Indices, *asked: object) -> str:
    """Return a name for the rows of a dataset and what was asked of them: the same only if all of it is."""
    digest = hashlib.sha256(json.dumps([dataset.content_hash, *asked], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(rows, dtype="<i8").tobytes())
    return digest.hexdigest()


def to_pixels(images_BCHW: Tensor) -> Tensor:
    """Return images in 0..1 as uint8; what is not finite becomes black."""
    return images_BCHW.nan_to_num(0.0).clamp(0, 1).mul(255).round().to(torch.uint8)


def split_for(dataset: AccDataset, job: TrainJobSpec) -> Split:
    """Return how a job, and all others of its experiment, split a dataset."""
    return split_of(dataset, seed=job.model.seed, train=job.train)


def part_of(split: Split, which: str) -> tuple[Indices, str]:
    """Return the rows of a part that nothing was trained on, and in words which they are.

    which: ``held_out``, ``test`` or ``combinations``. Raises InvalidInput (rows) for a part that there is not, but for
    ``held_out``, which may be empty.
    """
    if which == "combinations":
        if not len(split.combinations):
            raise InvalidInput(
                rows="no combinations were held out that this dataset has; choose held_out or all"
            )
        return split.combinations, COMBINATIONS
    if which == "test":
        if len(split.test):
            return split.test, TEST
        if split.words == TEST:
            return split.held_out, TEST
        raise InvalidInput(
            rows="this dataset came without test rows, or these were drawn anew; choose held_out or all"
        )
    return split.held_out, split.words


def choose_rows(
    dataset: AccDataset, job: TrainJobSpec, *, which: str = "held_out", most: int = MAX_ROWS
) -> tuple[Indices, str]:
    """Return the rows to look at, and in words which they are.

    Of a dataset that was trained on, those that every job of the experiment held out (``which="all"``: all; see also
    ``part_of``); of any other, all. Of more than ``most``, a choice that is the same every time, of whole units.
    """
    trained = any(spec.content_hash == dataset.content_hash for spec in job.datasets.values())
    rows, words = np.arange(len(dataset), dtype=np.int64), TRAINED_ON if trained else NEVER_SEEN
    apart = False
    if trained and which != "all":
        found, told = part_of(split_for(dataset, job), which)
        if len(found):
            rows, words, apart = found, told, True
    if len(rows) > most:
        seed = seed_for(job.model.seed, dataset.content_hash, "evaluated")
        rows = whole_units(np.random.default_rng(seed).permutation(rows), dataset.units, most)
        most = len(rows)
        those = "those " if apart and words in (HELD_OUT, COMBINATIONS) else ""
        words = f"{most} chosen of {those}{words}"
    if dataset.units is not None:
        words = f"{words}; {len(np.unique(dataset.units[rows])):,} whole units"
    return np.sort(rows), words


def whole_units(rows: Indices, units: Indices | None, most: int) -> Indices:
    """Return the first ``most`` of ``rows``, or of their units, in the order in which these are met, as many as fit.

    Of a first unit that alone is larger, ``most`` rows.
    """
    if units is None:
        return rows[:most]
    _, first, unit_of, sizes = np.unique(
        units[rows], return_index=True, return_inverse=True, return_counts=True
    )
    met = np.argsort(first)
    fit = int(np.searchsorted(np.cumsum(sizes[met]), most, side="right"))
    return rows[np.isin(unit_of, met[:fit])] if fit else rows[unit_of == met[0]][:most]


def groups_named(groups: Sequence[FactorGroup], targets: Sequence[TargetSpec]) -> tuple[int, int]:
    """Return how many factor groups targets name, and how many they are: of datasets, the one to look at has most."""
    names = {target.name for target in targets}
    return len(names & {group.name for group in groups}), len(names)


def encode(model: Model, stored: Stored, rows: Indices) -> Tensor:
    """Return posterior means (N, D) of rows, pooled over places; the decoder does not run."""
    means = Gathered(len(rows))
    for part in batches(rows):
        means.add(model.encode(stored.batch(part).images).posterior_mean.float())
    return means.rows


class Gathered:
    """``count`` rows that come in parts, each put into one tensor as it comes.

    Kept one by one, thousands of small tensors come to lie among the large ones of a model's passes, and what is freed
    between them fits none of the next: memory grows by megabytes a batch.
    """

    def __init__(self, count: int) -> None:
        self._count, self._filled = count, 0
        self.rows = torch.empty(0)

    def add(self, part: Tensor) -> None:
        if not self._filled:
            self.rows = part.new_empty(self._count, *part.shape[1:])
        self.rows[self._filled : self._filled + len(part)] = part
        self._filled += len(part)


def batches(rows: Indices) -> list[Indices]:
    """Return rows in parts of as many as go through a model together."""
    return [rows[start : start + BATCH_SIZE] for start in range(0, len(rows), BATCH_SIZE)]

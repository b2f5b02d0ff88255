"""A batch knows its rows, gives views of its images, and pairs that share all but a few factors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from acc.data import AccDataset, sampling
from acc.errors import InvalidInput, TaskError
from acc.specs import TargetSpec
from acc.tests import helpers
from acc.training.batch import Batch, IndexStream, Resident, Stored
from acc.training.pairs import FactorIndex, factors_of
from acc.training.plugin_set import PluginSet
from acc.training.split import split_indices
from acc.training.task import Task
from acc.training.trainer import Trainer
from acc.training.views import Augmentations, view

CPU = torch.device("cpu")
SIDES = (4, 3, 5)


def grid(copies: int = 1) -> AccDataset:
    """Return every combination of three factors, the last a real one, ``copies`` times; images say their row."""
    shape, scale, angle = (np.repeat(column, copies) for column in sampling.combinations(*SIDES))
    n = len(shape)
    images = (np.arange(n)[:, None, None, None] % 256 * np.ones((1, 1, 16, 16))).astype(np.uint8)
    return AccDataset(
        images,
        {"shape": shape, "scale": scale, "angle": (angle * 0.25).astype(np.float32)},
        (
            TargetSpec(name="shape", kind="class", classes=4),
            TargetSpec(name="scale", kind="class", classes=3),
            TargetSpec(name="angle", kind="real"),
        ),
    )


def drawn(data: AccDataset, size: int = 16, offset: int = 0, rows: Any = None) -> Batch:
    rows = np.arange(len(data)) if rows is None else rows
    source = Resident(data, CPU, rows)
    stream = IndexStream(
        rows, seed=3, content_hash=data.content_hash, batch_size=size, device=CPU, offset=offset
    )
    batch = stream.draw(source)
    return batch.batch(batch.images().float() / 255)


def factors(data: AccDataset, rows: Tensor) -> np.ndarray:
    return np.stack([data.targets[name][rows.numpy()] for name in data.targets], axis=1)


def test_a_batch_knows_which_rows_of_the_dataset_it_holds() -> None:
    data = grid()
    batch = drawn(data)
    assert batch.rows.dtype == torch.int64
    assert torch.equal(batch.images[:, 0, 0, 0], batch.rows.float() / 255)
    assert torch.equal(torch.cat([part.rows for part in batch.parts()]), batch.rows)
    read = Stored(data, CPU).batch(np.array([7, 2]))
    assert read.rows.tolist() == [7, 2]
    assert Stored(data, CPU).all_of(np.array([5, 9])).rows.tolist() == [5, 9]


def test_a_batch_made_by_hand_says_that_it_is_of_no_dataset() -> None:
    batch = Batch(torch.zeros(2, 1, 8, 8), {})
    for ask in (lambda: batch.rows, batch.views, batch.pairs):
        with pytest.raises(TaskError, match="made by hand"):
            ask()


@pytest.mark.parametrize("k", [1, 2, 3])
def test_pairs_share_all_but_k_factors_and_are_other_training_rows(k: int) -> None:
    data = grid(copies=2)
    train, held_out = split_indices(data, seed=0, val_fraction=0.3)
    batch = drawn(data, size=200, rows=np.sort(train))
    pair = batch.pairs(k)
    assert not set(pair.rows.tolist()) & set(held_out.tolist())
    differing = (factors(data, batch.rows) != factors(data, pair.rows)).sum(axis=1)
    assert differing.max() == k
    assert (pair.rows != batch.rows).all()
    assert torch.equal(pair.images[:, 0, 0, 0], pair.rows.float() * (1 / 255))
    assert torch.equal(pair.targets["shape"], torch.from_numpy(data.targets["shape"])[pair.rows])


def test_each_factor_changes_as_often_and_each_partner_is_as_likely() -> None:
    data = grid()
    rows = np.zeros(12_000, dtype=np.int64)
    found = FactorIndex(data, np.arange(len(data))).partners(rows, 1, (), 1, size=len(rows), start=0)
    changed = factors(data, torch.from_numpy(found)) != factors(data, torch.from_numpy(rows))
    np.testing.assert_allclose(changed.mean(axis=0), 1 / 3, atol=0.02)
    counts = np.bincount(found[changed[:, 2]])[1:5]
    np.testing.assert_allclose(counts / counts.sum(), 0.25, atol=0.03)


def test_the_same_place_in_the_order_gives_the_same_views_and_pairs_and_another_does_not() -> None:
    data = grid()
    one, same, other = drawn(data), drawn(data), drawn(data, offset=16)
    assert torch.equal(one.pairs().rows, same.pairs().rows)
    assert torch.equal(one.views(1)[0], same.views(1)[0])
    assert not torch.equal(one.pairs().rows, other.pairs().rows)


def test_processes_that_share_a_batch_see_the_views_and_pairs_of_a_single_one() -> None:
    data = grid()
    source = Resident(data, CPU)
    rows = np.arange(len(data))

    def next_batch() -> Any:
        return IndexStream(rows, seed=0, content_hash=data.content_hash, batch_size=10, device=CPU).draw(
            source
        )

    whole = next_batch()
    whole_batch = whole.batch(whole.images().float() / 255)
    shared = [next_batch().part(0, 4), next_batch().part(4, 10)]
    batches = [each.batch(each.images().float() / 255) for each in shared]
    how = Augmentations(shift=0.2, crop=0.7, flip=0.5, brightness=0.3, noise=0.1)
    for number in range(2):
        views = torch.cat([batch.views(2, how)[number] for batch in batches])
        assert torch.equal(views, whole_batch.views(2, how)[number])
    assert torch.equal(torch.cat([batch.pairs().rows for batch in batches]), whole_batch.pairs().rows)


def test_held_out_rows_have_partners_among_the_training_rows() -> None:
    data = grid(copies=2)
    train, held_out = split_indices(data, seed=0, val_fraction=0.3)
    pair = Stored(data, CPU, train).batch(np.sort(held_out)).pairs(2)
    assert set(pair.rows.tolist()) <= set(train.tolist())


def test_data_without_factors_and_what_does_not_fit_is_a_sentence() -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 16, 16), np.uint8)
    values = np.random.default_rng(0).random(60).astype(np.float32)
    plain = AccDataset(images, {"size": values}, (TargetSpec(name="size", kind="real"),))
    assert factors_of(plain) == ()
    with pytest.raises(TaskError, match="has no factors to pair rows by"):
        drawn(plain).pairs()
    data = grid()
    assert factors_of(data) == ("shape", "scale", "angle")
    with pytest.raises(TaskError, match="'size' is not a factor to pair rows by; this dataset has: shape"):
        drawn(data).pairs(factors=("size",))
    with pytest.raises(TaskError, match="k is 4; a pair differs in 1 to 3 of the factors"):
        drawn(data).pairs(4)
    lonely = AccDataset(
        images,
        {name: np.arange(60) for name in ("one", "other")},
        tuple(TargetSpec(name=name, kind="class", classes=60) for name in ("one", "other")),
    )
    with pytest.raises(TaskError, match="only 0% of the training rows have another that shares all but 1"):
        drawn(lonely).pairs()


def test_a_view_moves_brightens_mirrors_and_adds_noise_as_it_is_told() -> None:
    images = torch.zeros(500, 1, 16, 16)
    images[:, :, 8, 8] = 0.5
    still = Augmentations(shift=0, brightness=0)
    assert torch.equal(view(images, still, seed=0, size=500, start=0), images)
    moved = view(images, Augmentations(shift=0.25, brightness=0), seed=0, size=500, start=0)
    torch.testing.assert_close(moved.amax(dim=(1, 2, 3)), torch.full((500,), 0.5))
    places = moved.flatten(1).argmax(1)
    assert {int(place) // 16 - 8 for place in places} == set(range(-4, 5))
    assert {int(place) % 16 - 8 for place in places} == set(range(-4, 5))
    mirrored = view(images, Augmentations(shift=0, brightness=0, flip=1), seed=0, size=500, start=0)
    torch.testing.assert_close(mirrored, images.flip(3))
    bright = view(images, Augmentations(shift=0, brightness=0.5), seed=0, size=500, start=0)[:, 0, 8, 8]
    assert 0.25 <= float(bright.min()) < 0.3
    assert 0.7 < float(bright.max()) <= 0.75
    noisy = view(images + 0.4, Augmentations(shift=0, brightness=0, noise=0.05), seed=0, size=500, start=0)
    assert abs(float(noisy.std(dim=0).mean()) - 0.05) < 0.005
    cut = view(
        torch.rand(20, 1, 16, 16), Augmentations(shift=0, brightness=0, crop=0.5), seed=0, size=20, start=0
    )
    assert cut.shape == (20, 1, 16, 16)


@pytest.mark.parametrize(
    ("field", "value"), [("shift", 1.5), ("crop", 0), ("flip", -0.1), ("noise", float("nan"))]
)
def test_an_augmentation_out_of_range_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=rf"{field}: .* is refused; need"):
        Augmentations(**{field: value})


class PairedTask(Task):
    """Draws the latents of pairs and of views together."""

    def attach(self, spec: Any, dataset: Any, model: Any) -> None:
        super().attach(spec, dataset, model)
        self.model = model

    def compute_loss(self, output: Any, batch: Batch, head: Any) -> Tensor:
        seen, other = self.model.encode(batch.views(1)[0]), self.model.encode(batch.pairs(1).images)
        return (seen.mean - other.mean).square().mean() + 1e-6 * batch.rows.float().mean()


def test_a_job_that_uses_views_and_pairs_resumes_to_the_bit() -> None:
    data = {"data": grid(copies=3)}
    spec = helpers.job(data, [helpers.task("PairedTask")], steps=9, checkpoint_every_steps=5)
    classes = PluginSet(PairedTask)
    sinks = [helpers.KeepingSink(), helpers.KeepingSink()]
    Trainer(spec, data, classes=classes, sink=sinks[0]).run()
    Trainer(spec, data, classes=classes, sink=sinks[1], resume_from=sinks[0].at(5).checkpoint()).run()
    whole, resumed = (sink.at(9).tensors for sink in sinks)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)

"""A joint step trains every enabled task with one encoder pass and one decoder pass over what needs it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from acc.data import AccDataset
from acc.models import Decoded, build
from acc.tests import helpers
from acc.training.batch import IndexStream, Resident
from acc.training.losses import series
from acc.training.split import split_indices
from acc.training.trainer import Trainer


def three_datasets() -> tuple[dict[str, AccDataset], list[Any]]:
    datasets = {"a": helpers.blobs(60, seed=1), "b": helpers.blobs(50, seed=2), "c": helpers.blobs(9, seed=3)}
    tasks = [
        helpers.task("regression", dataset="a", factor="size"),
        helpers.task("reconstruction", dataset="b", weight=5.0),
        helpers.task("classification", dataset="b", factor="digit"),
        helpers.task("reconstruction", key="draw-c", dataset="c"),
    ]
    return datasets, tasks


def counting(trainer: Trainer) -> tuple[list[int], list[int]]:
    """Return lists that receive the rows of every encoder and decoder call."""
    encoded: list[int] = []
    decoded: list[int] = []
    posterior, decode_logits = trainer.model.posterior, trainer.model.decode_logits

    def count_posterior(x_BCHW: torch.Tensor) -> Any:
        encoded.append(len(x_BCHW))
        return posterior(x_BCHW)

    def count_decode(z: torch.Tensor) -> Decoded:
        decoded.append(len(z))
        return decode_logits(z)

    trainer.model.posterior = count_posterior  # type: ignore[method-assign]
    trainer.model.decode_logits = count_decode  # type: ignore[method-assign]
    return encoded, decoded


def test_one_encoder_pass_over_all_datasets_and_one_decoder_pass_over_those_that_need_it() -> None:
    datasets, tasks = three_datasets()
    trainer = Trainer(
        helpers.job(datasets, tasks, steps=3, batch_size=8), datasets, classes=helpers.shipped_tasks()
    )
    encoded, decoded = counting(trainer)
    trainer.run()
    assert encoded == [24] * 3
    assert decoded == [16] * 3


def test_the_decoder_is_not_run_when_no_enabled_task_needs_it(dataset: AccDataset) -> None:
    tasks = [
        helpers.task("classification"),
        helpers.task("reconstruction", enabled=False),
        helpers.task("kl"),
    ]
    trainer = Trainer(
        helpers.job({"data": dataset}, tasks, steps=3), {"data": dataset}, classes=helpers.shipped_tasks()
    )
    encoded, decoded = counting(trainer)
    trainer.run()
    assert (encoded, decoded) == ([16] * 3, [])


def test_the_losses_are_those_of_each_task_on_its_own_batch() -> None:
    datasets, tasks = three_datasets()
    spec = helpers.job(
        datasets, tasks, steps=1, batch_size=8, model=helpers.model_spec(params={"variational": False})
    )
    trainer = Trainer(spec, datasets, classes=helpers.shipped_tasks(), sink=(sink := helpers.KeepingSink()))
    entries = {key: (entry.task, entry.head) for key, entry in trainer.tasks.entries.items()}
    model = build(spec.model)
    expected: dict[str, float] = {}
    for task in tasks:
        head = entries[task.key][1]
        rows, _ = split_indices(datasets[task.dataset], seed=0, val_fraction=0.2)
        stream = IndexStream(
            rows,
            seed=0,
            content_hash=datasets[task.dataset].content_hash,
            batch_size=8,
            device=torch.device("cpu"),
        )
        batch = Resident(datasets[task.dataset], torch.device("cpu")).batch(stream.next())
        loss = entries[task.key][0].compute_loss(model.encode(batch.images), batch, head)
        expected[task.key] = float(loss.detach())
    trainer.run()
    history = sink.history()
    for task in tasks:
        assert history[series.raw(task.key)][0] == pytest.approx(expected[task.key], rel=1e-5)
        assert history[series.weighted(task.key)][0] == pytest.approx(
            task.weight * expected[task.key], rel=1e-5
        )
    assert history[series.TOTAL][0] == pytest.approx(sum(t.weight * expected[t.key] for t in tasks), rel=1e-5)


@pytest.mark.parametrize("architecture", ["Autoencoder", "ConvVAE", "FactorSlotAutoencoder"])
@pytest.mark.parametrize("schedule", ["joint", "sampled"])
def test_every_architecture_learns(dataset: AccDataset, architecture: str, schedule: str) -> None:
    tasks = [
        helpers.task("reconstruction", weight=10),
        helpers.task("classification", factor="digit", weight=2),
    ]
    spec = helpers.job(
        {"data": dataset},
        tasks,
        model=helpers.model_spec(architecture),
        steps=120,
        lr=5e-3,
        schedule=schedule,
    )
    _, sink = helpers.run(spec, {"data": dataset})
    history = sink.history()
    for key in ("reconstruction", "classification"):
        values = history[series.raw(key)]
        values = values[~np.isnan(values)]
        assert values[-10:].mean() < 0.7 * values[:3].mean(), key


def test_a_dataset_smaller_than_a_batch_trains() -> None:
    datasets = {"data": helpers.blobs(3)}
    trainer, sink = helpers.run(helpers.job(datasets, steps=4, batch_size=64), datasets)
    assert trainer.step == 4
    assert np.isfinite(sink.history()[series.TOTAL]).all()


def test_a_dataset_of_one_image_trains() -> None:
    datasets = {"data": helpers.blobs(1)}
    trainer, _ = helpers.run(helpers.job(datasets, steps=2, batch_size=4), datasets)
    assert trainer.step == 2


def test_disabling_a_task_from_the_start_equals_leaving_it_out(dataset: AccDataset) -> None:
    tasks = [helpers.task("reconstruction"), helpers.task("classification", enabled=False)]
    spec = helpers.model_spec(params={"variational": False})
    both, _ = helpers.run(helpers.job({"data": dataset}, tasks, model=spec), {"data": dataset})
    alone, _ = helpers.run(helpers.job({"data": dataset}, tasks[:1], model=spec), {"data": dataset})
    for name, tensor in alone.model.state_dict().items():
        assert torch.equal(tensor, both.model.state_dict()[name]), name

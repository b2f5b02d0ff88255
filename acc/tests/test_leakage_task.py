"""The leakage task sees the labels of the other tasks, and keeps them out of places that are not theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acc.data import AccDataset
from acc.evaluation import FactoringEvaluator
from acc.models import ModelOutput, build
from acc.models.output import LazyDecode
from acc.specs import TrainSpec
from acc.tests import helpers
from acc.training.batch import Batch
from acc.training.losses import series
from acc.training.task import TaskView
from acc.training.trainer import Trainer


def two_datasets() -> tuple[dict[str, AccDataset], list[Any]]:
    datasets = {"a": helpers.blobs(90, seed=1), "b": helpers.blobs(70, seed=2)}
    tasks = [
        helpers.task("reconstruction", dataset="a", weight=5.0),
        helpers.task("classification", dataset="a", factor="digit"),
        helpers.task("regression", dataset="b", factor="size"),
        helpers.task("LeakageTask", key="leakage", dataset="a", weight=0.05),
    ]
    return datasets, tasks


def sight(kind: str, factor: str, z_ND: torch.Tensor, **targets: torch.Tensor) -> TaskView:
    """Return what a task on ``factor`` sees where the model's posterior means are ``z_ND``."""
    model = build(helpers.model_spec())
    task = helpers.shipped_tasks().task(helpers.task(kind).task_class)()
    task.attach(helpers.task(kind, factor=factor), helpers.blobs(8), model)
    output = ModelOutput(mean=z_ND, logvar=None, z=z_ND, decode=LazyDecode(model.decode_logits, z_ND))
    return TaskView(task, output, Batch(torch.zeros(len(z_ND), 1, 16, 16), targets))


def leakage(**params: Any) -> Any:
    return helpers.shipped_tasks().task("LeakageTask")(**params)


def test_the_loss_is_the_sum_of_squared_correlations_with_foreign_dimensions() -> None:
    rng = np.random.default_rng(0)
    z, size, digit = rng.normal(size=(50, 8)), rng.normal(size=50), rng.integers(0, 4, 50)
    z[:, 6] += size
    expected = sum(np.corrcoef(z[:, d], size)[0, 1] ** 2 for d in (0, 1, 2, 5, 6, 7))
    for d in range(3, 8):  # eta squared: the variance of the class means over the whole
        means = np.array([z[digit == c, d].mean() for c in digit])
        expected += means.var() / z[:, d].var()
    latents = torch.from_numpy(z).float().requires_grad_()
    seen = [
        sight("regression", "size", latents, size=torch.from_numpy(size).float()),
        sight("classification", "digit", latents, digit=torch.from_numpy(digit)),
    ]
    loss = leakage().compute_joint_loss(seen[0], seen, None)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)
    loss.backward()
    assert latents.grad is not None
    assert torch.isfinite(latents.grad).all()


def test_a_constant_latent_or_label_leaks_nothing() -> None:
    flat = torch.zeros(20, 8, requires_grad=True)
    for seen in (
        sight("regression", "size", flat, size=torch.arange(20.0)),
        sight("regression", "size", torch.randn(20, 8), size=torch.ones(20)),
    ):
        assert float(leakage().compute_joint_loss(seen, [seen], None)) == pytest.approx(0, abs=1e-6)


def test_a_task_that_reads_the_whole_latent_has_no_foreign_place_and_alone_the_loss_is_zero() -> None:
    model = build(helpers.model_spec())
    task = helpers.shipped_tasks().task("RegressionTask")()
    task.attach(helpers.task("regression"), helpers.blobs(8), model)
    seen = sight("regression", "size", torch.randn(20, 8, requires_grad=True), size=torch.randn(20))
    whole = TaskView(task, seen.output, seen.batch)
    loss = leakage().compute_joint_loss(seen, [whole], None)
    loss.backward()
    assert float(loss) == 0


def test_the_weight_rises_over_the_first_part_of_the_job() -> None:
    train = TrainSpec(steps=100)
    scales = [leakage().weight_scale(step, train) for step in (0, 14, 29, 99)]
    assert scales == pytest.approx([1 / 30, 0.5, 1, 1])
    assert leakage(ramp=0.0).weight_scale(0, train) == 1


def test_each_label_is_correlated_on_the_batch_of_its_own_dataset() -> None:
    datasets, tasks = two_datasets()
    trainer = Trainer(
        helpers.job(datasets, tasks, steps=1, batch_size=16), datasets, classes=helpers.shipped_tasks()
    )
    seen: list[tuple[str, int]] = []
    task = trainer.tasks.entries["leakage"].task
    inner = task.compute_joint_loss  # type: ignore[attr-defined]

    def noted(own: TaskView, others: list[TaskView], head: None) -> torch.Tensor:
        seen.extend((other.task.key, id(other.batch)) for other in others)
        seen.append(("own", id(own.batch)))
        loss: torch.Tensor = inner(own, others, head)
        return loss

    task.compute_joint_loss = noted  # type: ignore[attr-defined]
    trainer.run()
    batches = dict(seen)
    assert set(batches) == {"reconstruction", "classification", "regression", "own"}
    assert batches["own"] == batches["classification"] != batches["regression"]


@pytest.mark.parametrize("schedule", ["joint", "sampled"])
def test_a_resumed_job_ends_with_the_same_bytes(schedule: str, tmp_path: Path) -> None:
    datasets, tasks = two_datasets()
    spec = helpers.job(datasets, tasks, steps=14, checkpoint_every_steps=6, schedule=schedule)
    _, whole = helpers.run(spec, datasets)
    whole.at(6).write(tmp_path / "6")
    _, resumed = helpers.run(spec, datasets, resume_from=tmp_path / "6")
    assert resumed.at(14).write(tmp_path / "resumed") == whole.at(14).write(tmp_path / "whole")
    assert whole.last.header.ages == resumed.last.header.ages


def test_the_sampled_schedule_draws_the_batches_that_it_looks_at_and_trains_it_alone() -> None:
    datasets, tasks = two_datasets()
    tasks[-1] = tasks[-1].model_copy(update={"weight": 1e5})
    _, sink = helpers.run(helpers.job(datasets, tasks, steps=3, batch_size=4, schedule="sampled"), datasets)
    history = sink.history()
    assert (history[series.raw("leakage")] > 0).all()
    assert np.isnan(history[series.raw("classification")]).all()
    assert sink.last.header.ages == {"reconstruction": 0, "classification": 0, "regression": 0, "leakage": 3}
    assert sink.last.header.offsets == {"a": 12, "b": 12}


def test_training_with_it_leaves_less_of_the_labels_in_foreign_places() -> None:
    datasets, tasks = two_datasets()
    leaks = {}
    for weight in (0.0, 0.5):
        tasks[-1] = tasks[-1].model_copy(update={"weight": weight})
        spec = helpers.job(datasets, tasks, steps=120, batch_size=32, lr=5e-3)
        _, sink = helpers.run(spec, datasets)
        evaluator = FactoringEvaluator(sink.last.checkpoint(), datasets, device="cpu")
        found = {m.name: m.value for m in evaluator.metrics() if m.task_key == "leakage"}
        assert set(found) == {"loss", "mean_leak", "largest_leak"}
        leaks[weight] = found["mean_leak"]
    assert leaks[0.5] is not None
    assert leaks[0.0] is not None
    assert leaks[0.5] < 0.6 * leaks[0.0]


def test_its_metrics_are_of_all_held_out_rows_of_all_datasets() -> None:
    datasets, tasks = two_datasets()
    _, sink = helpers.run(helpers.job(datasets, tasks, steps=5), datasets)
    evaluator = FactoringEvaluator(sink.last.checkpoint(), datasets, device="cpu")
    found = {m.name: m.value for m in evaluator.metrics() if m.task_key == "leakage"}
    each = []
    for key, target, own in (("a", "digit", range(3)), ("b", "size", range(3, 5))):
        encoded = evaluator.encoded(key)
        y = np.asarray(encoded.dataset.targets[target])[encoded.rows]
        for d in set(range(8)) - set(own):
            z = encoded.z[:, d]
            if key == "a":
                class_means = np.array([z[y == c].mean() for c in y])
                each.append((key, class_means.var() / z.var()))
            else:
                each.append((key, np.corrcoef(z, y)[0, 1] ** 2))
    means = [np.mean([leak for key, leak in each if key == name]) for name in ("a", "b")]
    assert found["mean_leak"] == pytest.approx(np.mean(means), rel=1e-3)
    assert found["largest_leak"] == pytest.approx(max(leak for _, leak in each), rel=1e-3)


def test_plugins_may_use_the_name_that_a_view_had_before() -> None:
    from acc.api import Sight

    assert Sight is TaskView

"""A checkpoint is measured on held-out rows from posterior means, and shows the same images every time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acc.data import AccDataset
from acc.errors import InvalidInput
from acc.evaluation import evaluate_checkpoint
from acc.models import build
from acc.results import EvalResult, MetricValue
from acc.specs import EvalSpec
from acc.tests import helpers
from acc.training.checkpoints.files import Checkpoint
from acc.training.split import split_indices
from acc.training.task import Task


def trained(datasets: dict[str, AccDataset], tasks: Any = None, **train: Any) -> Checkpoint:
    _, sink = helpers.run(helpers.job(datasets, tasks, **train), datasets)
    return sink.last.checkpoint()


def evaluated(checkpoint: Checkpoint, datasets: dict[str, AccDataset], **spec: Any) -> EvalResult:
    return evaluate_checkpoint(checkpoint, datasets, helpers.shipped_tasks(), EvalSpec(device="cpu", **spec))


def test_metrics_of_every_task_are_measured_and_reconstructions_shown(dataset: AccDataset) -> None:
    datasets = {"data": dataset}
    checkpoint = trained(datasets, steps=150, lr=5e-3)
    result = evaluated(checkpoint, datasets)
    found = {(metric.task_key, metric.name): metric for metric in result.metrics}
    assert set(found) == {
        ("reconstruction", "loss"),
        ("reconstruction", "psnr"),
        ("reconstruction", "ssim"),
        ("kl", "loss"),
        ("kl", "kl"),
        ("kl", "active_dimensions"),
        ("classification", "loss"),
        ("classification", "accuracy"),
        ("classification", "balanced_accuracy"),
        ("regression", "loss"),
        ("regression", "mae"),
        ("regression", "r2"),
    }
    assert result.step == 150
    accuracy = found["classification", "accuracy"]
    assert accuracy.value is not None
    assert accuracy.baseline is not None
    assert accuracy.value > accuracy.baseline
    assert accuracy.higher_is_better
    assert not found["regression", "mae"].higher_is_better
    psnr = found["reconstruction", "psnr"]
    assert psnr.value is not None
    assert psnr.baseline is not None
    assert psnr.value > psnr.baseline
    [grid] = result.reconstructions
    assert grid.inputs.shape == grid.outputs.shape == (8, 1, 16, 16)
    assert grid.inputs.dtype == grid.outputs.dtype == np.uint8
    np.testing.assert_array_equal(grid.inputs, dataset.images[list(grid.indices)])


def test_the_numbers_are_those_of_the_posterior_mean_on_the_held_out_rows(dataset: AccDataset) -> None:
    datasets = {"data": dataset}
    checkpoint = trained(datasets, steps=20)
    model = build(checkpoint.header.spec.model)
    model.load_state_dict(checkpoint.part("model"))
    model.eval()
    _, rows = split_indices(dataset, seed=0, val_fraction=0.2)
    with torch.no_grad():
        output = model.encode(torch.from_numpy(dataset.images[rows]).float() / 255)
        head = checkpoint.part("head.classification")
        named = (output.posterior_mean[:, :3] @ head["weight"].T + head["bias"]).argmax(1).numpy()
    accuracy = (named == dataset.targets["digit"][rows]).mean()
    found = {
        m.name: m.value for m in evaluated(checkpoint, datasets).metrics if m.task_key == "classification"
    }
    assert found["accuracy"] == pytest.approx(accuracy)


def test_evaluating_twice_gives_the_same_and_leaves_the_callers_random_state(dataset: AccDataset) -> None:
    datasets = {"data": dataset}
    checkpoint = trained(datasets)
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    first, second = evaluated(checkpoint, datasets), evaluated(checkpoint, datasets)
    assert torch.equal(torch.rand(2), expected)
    assert first.metrics == second.metrics
    np.testing.assert_array_equal(first.reconstructions[0].outputs, second.reconstructions[0].outputs)


def test_the_images_shown_are_the_same_for_every_checkpoint_and_held_out(dataset: AccDataset) -> None:
    datasets = {"data": dataset}
    early, late = trained(datasets, steps=1), trained(datasets, steps=9)
    shown = [evaluated(checkpoint, datasets).reconstructions[0].indices for checkpoint in (early, late)]
    assert shown[0] == shown[1]
    _, rows = split_indices(dataset, seed=0, val_fraction=0.2)
    assert set(shown[0]) <= set(rows.tolist())


def test_only_what_the_suite_names_is_done(dataset: AccDataset) -> None:
    datasets = {"data": dataset}
    checkpoint = trained(datasets)
    assert evaluated(checkpoint, datasets, suite=("metrics",)).reconstructions == []
    only_images = evaluated(checkpoint, datasets, suite=("reconstructions",), images=3)
    assert only_images.metrics == []
    assert len(only_images.reconstructions[0].indices) == 3


def test_each_dataset_is_measured_and_shown_by_its_own_tasks() -> None:
    datasets = {"a": helpers.blobs(60, seed=1), "b": helpers.blobs(20, seed=2)}
    tasks = [
        helpers.task("regression", dataset="b", factor="size"),
        helpers.task("classification", dataset="a", factor="digit"),
        helpers.task("reconstruction", dataset="b"),
    ]
    result = evaluated(trained(datasets, tasks), datasets)
    assert list(dict.fromkeys(m.task_key for m in result.metrics)) == [
        "regression",
        "classification",
        "reconstruction",
    ]
    assert [len(grid.indices) for grid in result.reconstructions] == [4, 8]


def test_without_held_out_rows_metrics_have_a_reason_instead_of_a_value(dataset: AccDataset) -> None:
    datasets = {"data": dataset}
    result = evaluated(trained(datasets, val_fraction=0.0), datasets)
    assert all(metric.value is None for metric in result.metrics)
    assert {metric.reason for metric in result.metrics} == {
        "no rows are held out (val_fraction is 0), and training rows would flatter the model"
    }
    assert len(result.reconstructions[0].indices) == 8


def test_a_metric_that_is_not_defined_has_a_reason(dataset: AccDataset) -> None:
    flat = AccDataset(
        images=dataset.images,
        targets={"size": np.full(120, 2.0, dtype=np.float32)},
        target_specs=(dataset.target_specs[1],),
    )
    datasets = {"data": flat}
    result = evaluated(trained(datasets, [helpers.task("regression")]), datasets)
    r2 = next(metric for metric in result.metrics if metric.name == "r2")
    assert (r2.value, r2.reason) == (None, "the target does not vary on the held-out rows")


def test_a_checkpoint_file_is_evaluated_and_a_missing_dataset_is_named(
    dataset: AccDataset, tmp_path: Path
) -> None:
    datasets = {"data": dataset}
    _, sink = helpers.run(helpers.job(datasets), datasets)
    sink.at(8).write(tmp_path / "point")
    assert evaluate_checkpoint(tmp_path / "point", datasets, helpers.shipped_tasks()).step == 8
    with pytest.raises(InvalidInput) as refused:
        evaluate_checkpoint(tmp_path / "point", {}, helpers.shipped_tasks())
    assert refused.value.fields == {"dataset": ["'data' is not loaded in this job; it has: none"]}


@pytest.mark.parametrize(
    ("name", "value", "higher", "thresholds", "grade"),
    [
        ("accuracy", 0.91, True, (0.7, 0.9), "good"),
        ("accuracy", 0.9, True, (0.7, 0.9), "moderate"),
        ("accuracy", 0.5, True, (0.7, 0.9), "poor"),
        ("loss", 0.09, False, (0.5, 0.1), "good"),
        ("loss", 0.1, False, (0.5, 0.1), "moderate"),
        ("loss", 2.0, False, (0.5, 0.1), "poor"),
        ("loss", None, False, (0.5, 0.1), ""),
        ("kl", 3.0, False, None, ""),
    ],
)
def test_a_value_is_good_moderate_or_poor_by_the_thresholds_of_its_task(
    name: str, value: float | None, higher: bool, thresholds: tuple[float, float] | None, grade: str
) -> None:
    assert MetricValue("task", name, value, higher, thresholds=thresholds).grade == grade


def test_each_metric_comes_with_the_thresholds_that_its_task_declares(dataset: AccDataset) -> None:
    datasets = {"data": dataset}
    found = {(m.task_key, m.name): m.thresholds for m in evaluated(trained(datasets), datasets).metrics}
    assert found["classification", "accuracy"] == (0.7, 0.9)
    assert found["regression", "loss"] == (0.5, 0.1)
    assert found["kl", "loss"] is None, "neither much nor little is good of it"


def test_intervals_are_as_wide_as_statistics_wants_them(dataset: AccDataset) -> None:
    datasets = {"data": dataset}
    checkpoint = trained(datasets, steps=20, val_fraction=0.5)
    told: list[float] = []
    result = evaluate_checkpoint(
        checkpoint, datasets, helpers.shipped_tasks(), EvalSpec(device="cpu"), progress=told.append
    )
    assert told == [0.5, 1.0]
    rows = len(split_indices(dataset, seed=checkpoint.header.spec.model.seed, val_fraction=0.5)[1])
    for metric in result.metrics:
        if metric.low is not None and metric.high is not None:
            assert metric.value is not None
            assert metric.low <= metric.value <= metric.high, metric
    accuracy = next(metric for metric in result.metrics if metric.name == "accuracy")
    assert None not in (accuracy.value, accuracy.low, accuracy.high)
    p, half = float(accuracy.value or 0), (float(accuracy.high or 0) - float(accuracy.low or 0)) / 2
    binomial = 2.093 * (p * (1 - p) / rows) ** 0.5
    assert 0.5 * binomial < half < 2 * binomial


def test_a_loss_that_is_none_of_a_single_image_says_so() -> None:
    class Halves(Task):
        """Of a batch of one image there is no half, and the mean of nothing is no number."""

        def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
            half = len(batch) // 2
            return (self.latent(output)[:half] - self.latent(output)[half : 2 * half]).square().mean()

    classes = helpers.shipped_tasks()
    classes.add(Halves)
    datasets = {"data": helpers.blobs(80)}
    tasks = [helpers.task("reconstruction"), helpers.task("Halves", key="halves")]
    _, sink = helpers.run(helpers.job(datasets, tasks, steps=2, val_fraction=0.25), datasets, classes)
    result = evaluate_checkpoint(sink.last.checkpoint(), datasets, classes, EvalSpec(device="cpu"))
    found = {metric.task_key: metric for metric in result.metrics if metric.name == "loss"}
    assert found["halves"].value is None
    assert found["halves"].reason == (
        "came out as nan, in batches of 1 images; evaluations go in batches of any size, down to one, and the loss "
        "must be a finite number for each"
    )
    assert found["reconstruction"].value is not None

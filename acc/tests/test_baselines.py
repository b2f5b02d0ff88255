"""Each task names the loss of a predictor that looks at no image, measured once and without a trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from acc.api import Baseline, Task, TrainingRows
from acc.data import AccDataset
from acc.evaluation import evaluate_checkpoint
from acc.models import build
from acc.specs import EvalSpec, TargetSpec
from acc.tests import helpers
from acc.training.baselines import StoredRows
from acc.training.batch import Resident, Stored
from acc.training.plugin_set import PluginSet
from acc.training.split import split_indices
from acc.training.task import make_task
from acc.training.trainer import Trainer


def measured(kind: str, dataset: AccDataset, rows: Any = None, **fields: Any) -> Baseline:
    spec = helpers.task(kind, **fields)
    made = make_task(spec, helpers.shipped_tasks().task, dataset, build(helpers.model_spec(), {}))
    index = np.arange(len(dataset.images)) if rows is None else rows
    found = made.baseline(TrainingRows(Resident(dataset, torch.device("cpu")), index))
    assert found is not None
    return found


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
@settings(max_examples=30, deadline=None)
def test_classification_falls_back_on_the_entropy_of_the_class_frequencies(labels: list[int]) -> None:
    base = helpers.blobs(len(labels))
    dataset = AccDataset(
        images=base.images,
        targets={"digit": np.array(labels)},
        target_specs=(TargetSpec(name="digit", kind="class", classes=4),),
    )
    frequencies = torch.bincount(torch.tensor(labels), minlength=4) / len(labels)
    logits = frequencies.clamp(min=1e-30).log().expand(len(labels), 4)
    expected = float(F.cross_entropy(logits, torch.tensor(labels)))
    assert measured("classification", dataset).loss == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("loss", ["mse", "smooth_l1"])
def test_regression_falls_back_on_the_mean_of_the_training_rows(dataset: AccDataset, loss: str) -> None:
    rows, _ = split_indices(dataset, seed=0, val_fraction=0.3)
    found = measured("regression", dataset, rows, params={"loss": loss})
    sizes = torch.from_numpy(dataset.targets["size"]).double()
    spread = float(np.std(dataset.targets["size"].astype(np.float64)))
    truth = sizes[torch.from_numpy(rows)] / spread
    compare = {"mse": F.mse_loss, "smooth_l1": F.smooth_l1_loss}[loss]
    assert found.loss == pytest.approx(float(compare(truth.mean().expand_as(truth), truth)), rel=1e-6)
    assert "px" in found.words


@pytest.mark.parametrize("loss", ["mse", "l1", "bce"])
def test_reconstruction_falls_back_on_the_mean_image(loss: str) -> None:
    noise = np.random.default_rng(0).integers(100, 256, (600, 1, 16, 16), dtype=np.uint8)  # more than a chunk
    dataset = AccDataset(images=noise, targets={}, target_specs=())
    x = torch.from_numpy(noise).double() / 255
    mean = x.mean(dim=0, keepdim=True).expand_as(x)
    losses: dict[str, Any] = {"mse": F.mse_loss, "l1": F.l1_loss, "bce": F.binary_cross_entropy}
    found = measured("reconstruction", dataset, params={"loss": loss})
    assert found.loss == pytest.approx(float(losses[loss](mean, x)), rel=1e-5)
    assert "mean" in found.words


def test_reconstruction_falls_back_on_black_where_that_loses_less() -> None:
    sparse = np.zeros((50, 1, 16, 16), dtype=np.uint8)
    sparse.reshape(50, -1)[np.arange(50), np.arange(50)] = 255
    dataset = AccDataset(images=sparse, targets={}, target_specs=())
    found = measured("reconstruction", dataset, params={"loss": "l1"})
    assert found.loss == pytest.approx(1 / 256)
    assert "black" in found.words


@pytest.mark.parametrize(("free_bits", "expected"), [(0.0, 0.0), (0.5, 1.0)])
def test_kl_has_the_collapsed_posterior_as_its_floor(
    dataset: AccDataset, free_bits: float, expected: float
) -> None:
    found = measured("kl", dataset, factor="size", params={"free_bits": free_bits})
    assert (found.loss, found.floor) == (expected, True)


def test_baselines_are_told_when_tasks_are_attached(dataset: AccDataset, classes: PluginSet) -> None:
    sink = helpers.KeepingSink()
    spec = helpers.job({"data": dataset}, helpers.all_tasks()[:3])
    later = helpers.all_tasks()[3].model_dump()
    control = helpers.Script({2: [("add_task", {"task": later})]})
    trainer = Trainer(spec, {"data": dataset}, classes=classes, sink=sink, control=control)
    assert list(sink.baselines) == ["reconstruction", "kl", "classification"]
    trainer.run()
    assert list(sink.baselines) == ["reconstruction", "kl", "classification", "regression"]
    assert sink.baselines["kl"].floor


class Wild(Task):
    """A task whose baseline draws random numbers, or fails."""

    fails = False

    def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
        return output.latent.square().mean()

    def baseline_loss(self, rows: TrainingRows) -> Baseline:
        if self.fails:
            raise RuntimeError("no idea")
        return Baseline(float(torch.rand(3).sum()) + float(np.random.rand()), "chance")


def test_measuring_changes_no_weight_and_no_loss(
    dataset: AccDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = (*helpers.all_tasks(), helpers.task("Wild"))
    later = helpers.task("Wild", key="late").model_dump()
    datasets = {"data": dataset}

    def trained() -> tuple[dict[str, Any], Any]:
        classes = PluginSet(Wild, *helpers.shipped_classes())
        control = helpers.Script({3: [("add_task", {"task": later})]})
        trainer, sink = helpers.run(helpers.job(datasets, tasks), datasets, classes, control=control)
        assert all(result.ok for result in sink.commands)
        return helpers.weights(trainer.model), sink.history()

    weights, losses = trained()
    for module in ("trainer", "steering"):
        monkeypatch.setattr(f"acc.training.{module}.measure_baseline", lambda *_: None)
    bare_weights, bare_losses = trained()
    for name, value in weights.items():
        np.testing.assert_array_equal(value, bare_weights[name])
    for name, value in losses.items():
        np.testing.assert_array_equal(value, bare_losses[name])


class Both(Task):
    """As the contract's second version has it: one method."""

    metrics = {"size": False}

    def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
        return output.latent.square().mean()

    def evaluate(self, output: Any, batch: Any, head: Any) -> Any:
        return {"size": output.posterior_mean.square().mean(1).sum().double(), "n": len(batch)}

    def baseline(self, rows: TrainingRows, held_out: Any = None) -> Baseline:
        return Baseline(2.0, "two", metrics={} if held_out is None else {"size": float(len(held_out))})


class First(Both):
    """As the first version has it: a method for the loss, and one for the metrics."""

    def baseline_loss(self, rows: TrainingRows) -> Baseline:
        return Baseline(3.0, "three")

    def baseline(self, train: Any, held_out: Any) -> Any:  # type: ignore[override]
        return {"size": float(len(train.targets["digit"]))}


def test_one_method_gives_loss_and_metrics_and_the_two_of_before_go_on_working(dataset: AccDataset) -> None:
    classes = PluginSet(Both, First)
    datasets = {"data": dataset}
    trainer, sink = helpers.run(
        helpers.job(datasets, (helpers.task("Both"), helpers.task("First"))), datasets, classes
    )
    assert {key: (each.loss, each.words) for key, each in sink.baselines.items()} == {
        "both": (2.0, "two"),
        "first": (3.0, "three"),
    }
    found = evaluate_checkpoint(
        trainer.snapshot().checkpoint(), datasets, classes, EvalSpec(suite=("metrics",))
    )
    told = {one.task_key: one.baseline for one in found.metrics if one.name == "size"}
    train, held_out = split_indices(dataset, seed=0, val_fraction=0.2)
    assert told == {"both": len(held_out), "first": len(train)}


def test_a_baseline_that_fails_is_told_and_the_task_trains(
    dataset: AccDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Wild, "fails", True)
    datasets = {"data": dataset}
    trainer, sink = helpers.run(helpers.job(datasets, (helpers.task("Wild"),)), datasets, PluginSet(Wild))
    assert trainer.step == 8
    assert [alarm.kind for alarm in sink.alarms] == ["baseline"]
    assert "Wild.baseline_loss failed, RuntimeError: no idea" in sink.alarms[0].message


@pytest.mark.parametrize("kind", ["classification", "regression", "reconstruction"])
def test_the_trivial_loss_of_an_evaluation_is_that_of_training_where_both_see_the_same_rows(
    dataset: AccDataset, kind: str
) -> None:
    made = make_task(
        helpers.task(kind), helpers.shipped_tasks().task, dataset, build(helpers.model_spec(), {})
    )
    stored, every = Stored(dataset, torch.device("cpu")), np.arange(len(dataset.images))
    found = made.baseline(StoredRows(stored, every), stored.all_of(every))
    assert found.metrics["loss"] == pytest.approx(measured(kind, dataset).loss, rel=1e-4)

"""A task that does not fit its model or dataset is refused with field, value and what would be right."""

from __future__ import annotations

from typing import Any

import pytest

from acc.data import AccDataset
from acc.errors import InvalidInput
from acc.specs import TaskSpec
from acc.tests import helpers
from acc.training.trainer import Trainer


def refusal(
    dataset: AccDataset, *tasks: TaskSpec, architecture: str = "FactorSlotAutoencoder", **train: Any
) -> Any:
    spec = helpers.job({"data": dataset}, tasks, model=helpers.model_spec(architecture), **train)
    with pytest.raises(InvalidInput) as refused:
        Trainer(spec, {"data": dataset}, classes=helpers.shipped_tasks())
    return refused.value.fields


def only(dataset: AccDataset, name: str) -> AccDataset:
    column = next(column for column in dataset.target_specs if column.name == name)
    return AccDataset(images=dataset.images, targets={name: dataset.targets[name]}, target_specs=(column,))


def test_a_dataset_without_the_target_kind(dataset: AccDataset) -> None:
    fields = refusal(only(dataset, "size"), helpers.task("classification"))
    assert fields == {"dataset": ["ClassificationTask needs a class target, this dataset has: size (real)"]}


def test_a_target_of_the_wrong_kind_and_one_that_is_not_there(dataset: AccDataset) -> None:
    fields = refusal(dataset, helpers.task("classification", params={"target_name": "size"}))
    assert fields["params.target_name"][0].startswith(
        "ClassificationTask needs a class target, 'size' is real"
    )
    fields = refusal(dataset, helpers.task("regression", params={"target_name": "angle"}))
    assert fields["params.target_name"] == [
        "'angle' is not a target of this dataset; it has: digit (class), size (real)"
    ]


def test_a_latent_slice_out_of_range(dataset: AccDataset) -> None:
    fields = refusal(dataset, helpers.task("classification", latent_slice=(4, 12)))
    assert "4:12 goes beyond the 8 latent dimensions" in fields["latent_slice"][0]


def test_a_factor_that_the_model_does_not_have(dataset: AccDataset) -> None:
    fields = refusal(dataset, helpers.task("classification", factor="colour"))
    assert fields["factor"] == ["'colour' is not a factor group of this model; it has: digit, size, free"]


@pytest.mark.parametrize("fields", [{"factor": "digit"}, {"latent_slice": (0, 2)}])
def test_reconstruction_reads_the_whole_latent(dataset: AccDataset, fields: dict[str, Any]) -> None:
    name = next(iter(fields))
    found = refusal(dataset, helpers.task("reconstruction", **fields))
    assert found == {name: [f"ReconstructionTask reads the whole latent; leave {name} empty"]}


@pytest.mark.parametrize("params", [{}, {"variational": False}])
def test_kl_needs_a_posterior(dataset: AccDataset, params: dict[str, Any]) -> None:
    architecture = "FactorSlotAutoencoder" if params else "Autoencoder"
    spec = helpers.job(
        {"data": dataset}, [helpers.task("kl")], model=helpers.model_spec(architecture, params=params)
    )
    with pytest.raises(InvalidInput) as refused:
        Trainer(spec, {"data": dataset}, classes=helpers.shipped_tasks())
    assert refused.value.fields["task_class"][0].startswith(
        f"KLDivergenceTask needs a posterior (mean and log-variance), {architecture} has none"
    )


def test_images_of_another_shape() -> None:
    fields = refusal(helpers.blobs(10, side=12), helpers.task("reconstruction"))
    assert fields == {
        "dataset": ["images are 1 x 12 x 12, this model reads 1 x 16 x 16 (channels x height x width)"]
    }


def test_an_unknown_task_class_and_an_unknown_parameter(dataset: AccDataset) -> None:
    fields = refusal(dataset, helpers.task("NoSuchTask"))
    assert fields["task_class"][0].startswith("'NoSuchTask' is not a known task; known: ")
    assert "ClassificationTask, " in fields["task_class"][0]
    assert ", EffectiveRankTask" in fields["task_class"][0]
    fields = refusal(dataset, helpers.task("reconstruction", params={"lose": "l1"}))
    assert fields["params.lose"][0].startswith("unknown parameter 'lose'; known: loss")
    fields = refusal(dataset, helpers.task("reconstruction", params={"loss": "l7"}))
    assert fields["params.loss"] == ["'l7' is not one of mse, l1, bce"]


def test_no_enabled_task(dataset: AccDataset) -> None:
    fields = refusal(dataset, helpers.task("reconstruction", enabled=False))
    assert fields == {"tasks": ["no task would be enabled; a step needs at least one"]}


def test_the_sampled_schedule_needs_a_weight_above_zero(dataset: AccDataset) -> None:
    fields = refusal(dataset, helpers.task("reconstruction", weight=0), schedule="sampled")
    assert "weight 0" in fields["weight"][0]


def test_a_device_that_is_not_there(dataset: AccDataset) -> None:
    fields = refusal(dataset, helpers.task("reconstruction"), device="cuda:99")
    assert fields["device"][0].startswith("'cuda:99' is not on this machine; it has: cpu")


def test_a_dataset_that_was_not_loaded(dataset: AccDataset) -> None:
    spec = helpers.job({"data": dataset}, [helpers.task("reconstruction")])
    with pytest.raises(InvalidInput) as refused:
        Trainer(spec, {"other": dataset}, classes=helpers.shipped_tasks())
    assert refused.value.fields == {"dataset": ["'data' is not loaded in this job; it has: other"]}

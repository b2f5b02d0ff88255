"""The shipped tasks compute what their formulas say, and their metrics add up over batches of any size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from acc.data import AccDataset
from acc.evaluation.image_quality import psnr, ssim
from acc.models import build
from acc.models.output import Decoded, LazyDecode, ModelOutput
from acc.specs import TrainSpec
from acc.tests import helpers
from acc.training.batch import Batch, Resident, TrainingRows
from acc.training.plugin_set import PluginSet
from acc.training.task import Task


def attached(classes: PluginSet, name: str, dataset: AccDataset, **fields: Any) -> Task:
    spec = helpers.task(name, **fields)
    task = classes.task(spec.task_class)(**spec.params)
    task.attach(spec, dataset, build(helpers.model_spec()))
    return task


def output(
    mean: torch.Tensor, logvar: torch.Tensor | None = None, logits: torch.Tensor | None = None
) -> ModelOutput:
    decode = LazyDecode(lambda _: Decoded(torch.zeros(0) if logits is None else logits), mean)
    return ModelOutput(mean=mean, logvar=logvar, z=mean, decode=decode)


@torch.no_grad()
def added(task: Task, parts: list[tuple[ModelOutput, Batch]], head: Any = None) -> dict[str, float | str]:
    total: dict[str, torch.Tensor] = {}
    for out, batch in parts:
        for name, value in task.evaluate(out, batch, head).items():
            term = torch.as_tensor(value)
            total[name] = total[name] + term if name in total else term
    return task.summarise(total)


@pytest.mark.parametrize(
    ("kind", "formula"),
    [
        ("mse", lambda x, y, _: (x - y).square().mean()),
        ("l1", lambda x, y, _: (x - y).abs().mean()),
        ("bce", lambda x, y, _: -(y * x.log() + (1 - y) * (1 - x).log()).mean()),
    ],
)
def test_reconstruction_is_the_mean_over_pixels(
    dataset: AccDataset, classes: PluginSet, kind: str, formula: Any
) -> None:
    logits, images = torch.randn(5, 1, 16, 16), torch.rand(5, 1, 16, 16)
    task = attached(classes, "reconstruction", dataset, params={"loss": kind})
    loss = task.compute_loss(output(torch.zeros(5, 8), logits=logits), Batch(images, {}), None)
    torch.testing.assert_close(loss, formula(torch.sigmoid(logits), images, None))


def test_classification_is_cross_entropy_with_accuracy_and_balanced_accuracy(
    dataset: AccDataset, classes: PluginSet
) -> None:
    task = attached(classes, "classification", dataset, factor="digit")
    head = task.build_head(3, dataset)
    assert head is not None
    latent, labels = torch.randn(40, 8), torch.tensor([0] * 30 + [1] * 10)
    batch = Batch(torch.zeros(40, 1, 16, 16), {"digit": labels})
    loss = task.compute_loss(output(latent), batch, head)
    torch.testing.assert_close(loss, F.cross_entropy(head(latent[:, :3]), labels))
    named = head(latent[:, :3]).argmax(dim=1)
    parts = [
        (output(latent[a:b]), Batch(torch.zeros(b - a, 1, 16, 16), {"digit": labels[a:b]}))
        for a, b in [(0, 7), (7, 40)]
    ]
    found = added(task, parts, head)
    assert found["accuracy"] == pytest.approx(float((named == labels).double().mean()))
    recalls = [(named[labels == k] == k).double().mean() for k in (0, 1)]
    assert found["balanced_accuracy"] == pytest.approx(float(sum(recalls) / 2))


@pytest.mark.parametrize("kind", ["mse", "smooth_l1"])
def test_regression_is_measured_in_deviations_and_reported_in_units(
    dataset: AccDataset, classes: PluginSet, kind: str
) -> None:
    task = attached(
        classes, "regression", dataset, factor="size", params={"loss": kind, "head": "mlp", "hidden": 5}
    )
    head = task.build_head(2, dataset)
    assert head is not None
    latent, truth = torch.randn(30, 8), torch.rand(30) * 3
    batch = Batch(torch.zeros(30, 1, 16, 16), {"size": truth})
    named = head(latent[:, 3:5]).detach()
    spread = float(dataset.targets["size"].std())
    reference = {"mse": F.mse_loss, "smooth_l1": F.smooth_l1_loss}[kind]
    loss = task.compute_loss(output(latent), batch, head)
    torch.testing.assert_close(loss, reference(named / spread, truth / spread), rtol=1e-4, atol=1e-5)
    found = added(task, [(output(latent), batch)], head)
    assert found["mae"] == pytest.approx(float((named - truth).abs().mean()), rel=1e-5)
    r2 = 1 - (named - truth).square().sum() / (truth - truth.mean()).square().sum()
    assert found["r2"] == pytest.approx(float(r2), rel=1e-4)


def test_r2_of_a_target_that_does_not_vary_is_a_sentence(dataset: AccDataset, classes: PluginSet) -> None:
    task = attached(classes, "regression", dataset)
    head = task.build_head(8, dataset)
    batch = Batch(torch.zeros(4, 1, 16, 16), {"size": torch.full((4,), 2.5)})
    found = added(task, [(output(torch.randn(4, 8)), batch)], head)
    assert found["r2"] == "the target does not vary on the held-out rows"
    assert isinstance(found["mae"], float)


def test_kl_is_summed_over_the_dimensions_read_and_averaged_over_images(
    dataset: AccDataset, classes: PluginSet
) -> None:
    mean, logvar = torch.randn(6, 8), torch.randn(6, 8)
    task = attached(classes, "kl", dataset, factor="size")
    normal = torch.distributions.Normal(mean, (0.5 * logvar).exp())
    expected = (
        torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0))[:, 3:5].sum(1).mean()
    )
    torch.testing.assert_close(task.compute_loss(output(mean, logvar), Batch(mean, {}), None), expected)
    found = added(
        task,
        [
            (output(mean[:2], logvar[:2]), Batch(mean[:2], {})),
            (output(mean[2:], logvar[2:]), Batch(mean[2:], {})),
        ],
    )
    assert found["kl"] == pytest.approx(float(expected), rel=1e-5)
    assert found["active_dimensions"] == 2


def test_kl_of_a_spatial_latent_is_a_mean_over_places(dataset: AccDataset, classes: PluginSet) -> None:
    mean, logvar = torch.randn(3, 8, 4, 4), torch.randn(3, 8, 4, 4)
    task = attached(classes, "kl", dataset)
    flat = 0.5 * (mean.square() + logvar.exp() - 1 - logvar)
    torch.testing.assert_close(
        task.compute_loss(output(mean, logvar), Batch(mean, {}), None), flat.mean(dim=(0, 2, 3)).sum()
    )


def test_free_bits_make_each_dimension_cost_at_least_that_much(
    dataset: AccDataset, classes: PluginSet
) -> None:
    task = attached(classes, "kl", dataset, params={"free_bits": 0.5})
    nothing = output(torch.zeros(4, 8), torch.zeros(4, 8))
    assert float(task.compute_loss(nothing, Batch(torch.zeros(4), {}), None)) == pytest.approx(8 * 0.5)


@pytest.mark.parametrize(("own", "of_job", "expected"), [(4, 0, 4), (0, 10, 10), (4, 10, 4), (0, 0, 0)])
def test_the_kl_weight_rises_over_the_warm_up_of_the_task_or_else_of_the_job(
    dataset: AccDataset, classes: PluginSet, own: int, of_job: int, expected: int
) -> None:
    task = attached(classes, "kl", dataset, params={"warmup_steps": own})
    train = TrainSpec(steps=20, kl_warmup_steps=of_job)
    scales = [task.weight_scale(step, train) for step in range(12)]
    assert scales == [min(1.0, (step + 1) / expected) if expected else 1.0 for step in range(12)]


def test_baselines_are_those_of_predictors_that_see_no_image(dataset: AccDataset, classes: PluginSet) -> None:
    labels = torch.tensor([0, 0, 0, 1])
    images = np.random.default_rng(0).random((4, 1, 16, 16), dtype=np.float32)
    size = np.array([1.0, 1.0, 3.0, 3.0], dtype=np.float32)
    data = AccDataset(images, {"digit": labels.numpy(), "size": size}, dataset.target_specs)
    resident, every = Resident(data, torch.device("cpu")), np.arange(4)
    rows, train = TrainingRows(resident, every), resident.batch(torch.from_numpy(every))
    found = attached(classes, "classification", dataset).baseline(rows, train).metrics
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert found == {"accuracy": 0.75, "balanced_accuracy": 0.5, "loss": pytest.approx(entropy)}
    found = attached(classes, "regression", dataset).baseline(rows, train).metrics
    assert found["mae"] == pytest.approx(1.0)
    assert found["r2"] == pytest.approx(0.0)
    drawn = attached(classes, "reconstruction", dataset).baseline(rows, train).metrics
    assert drawn["psnr"] == pytest.approx(
        float(psnr(train.images.mean(0, keepdim=True).expand(4, 1, 16, 16), train.images).mean())
    )


def test_psnr_and_ssim_of_equal_and_of_known_images() -> None:
    images = torch.rand(3, 1, 32, 32)
    torch.testing.assert_close(psnr(images, images), torch.full((3,), 100.0))
    torch.testing.assert_close(ssim(images, images), torch.ones(3))
    torch.testing.assert_close(
        psnr(torch.zeros(1, 1, 16, 16), torch.full((1, 1, 16, 16), 0.1)), torch.tensor([20.0])
    )
    assert float(ssim(torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32))) < 0.2
    assert ssim(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)).shape == (2,)


def test_ssim_of_two_flat_images_follows_the_formula() -> None:
    a, b = 0.2, 0.6
    expected = (2 * a * b + 0.01**2) / (a * a + b * b + 0.01**2)
    found = ssim(torch.full((1, 1, 20, 20), a), torch.full((1, 1, 20, 20), b))
    assert math.isclose(float(found), expected, rel_tol=1e-3)

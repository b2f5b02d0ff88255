"""Tasks without a loss are measured with a checkpoint and have no part in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from acc.data import AccDataset
from acc.errors import InvalidInput, PluginError
from acc.evaluation import FactoringEvaluator
from acc.models import ModelOutput, build
from acc.models.output import LazyDecode
from acc.plugins import load_source
from acc.tests import helpers
from acc.training.batch import Batch
from acc.training.task import Task

KINDS = ("EffectiveRankTask", "ActivationSparsityTask", "WeightDiversityTask", "ExclusivityTask")


def attached(kind: str, dataset: AccDataset | None = None, **spec: Any) -> Task:
    task = helpers.shipped_tasks().task(kind)()
    task.attach(helpers.task(kind, **spec), dataset or helpers.blobs(8), build(helpers.model_spec()))
    return task


def measured(task: Task, z: np.ndarray, **targets: np.ndarray) -> dict[str, float | str]:
    """Return a task's metrics of latents (N, 8), given in two batches of unequal size."""
    total: dict[str, torch.Tensor] = {}
    for rows in (slice(0, len(z) // 3), slice(len(z) // 3, None)):
        part = torch.from_numpy(z[rows]).float()
        output = ModelOutput(mean=part, logvar=None, z=part, decode=LazyDecode(build, part))  # type: ignore[arg-type]
        batch = Batch(
            torch.zeros(len(part), 1, 16, 16), {k: torch.from_numpy(v[rows]) for k, v in targets.items()}
        )
        for name, value in task.evaluate(output, batch, None).items():
            total[name] = total.get(name, torch.zeros(())) + torch.as_tensor(value)
    return task.summarise(total)


def test_they_are_measured_and_the_weights_are_those_of_a_job_without_them(dataset: AccDataset) -> None:
    datasets = {"data": dataset}
    bare, watched = helpers.all_tasks(), (*helpers.all_tasks(), *(helpers.task(kind) for kind in KINDS))
    trained = [helpers.run(helpers.job(datasets, tasks), datasets) for tasks in (bare, watched)]
    first, second = (helpers.weights(trainer.model) for trainer, _ in trained)
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value)
    assert set(trained[1][1].history()) == set(trained[0][1].history()), "no loss is recorded for them"
    evaluator = FactoringEvaluator(trained[1][1].last.checkpoint(), datasets, device="cpu")
    found = {(m.task_key, m.name): m for m in evaluator.metrics()}
    for kind in KINDS:
        names = {name for key, name in found if key == kind.lower()}
        assert names == set(helpers.shipped_tasks().task(kind).metrics)
    rank = found["effectiveranktask", "effective_rank"]
    assert rank.value is not None
    assert 1 <= rank.value <= 8
    assert found["weightdiversitytask", "diversity"].grade in {"good", "moderate", "poor"}


def test_they_alone_are_nothing_to_train(dataset: AccDataset) -> None:
    with pytest.raises(InvalidInput, match="no task would be enabled"):
        helpers.run(helpers.job({"data": dataset}, [helpers.task(KINDS[0])]), {"data": dataset})


def test_effective_rank_of_three_equal_directions_is_three(rng: np.random.Generator) -> None:
    z = np.zeros((6, 8))
    z[[0, 2, 4], [0, 1, 2]], z[[1, 3, 5], [0, 1, 2]] = 1, -1
    found = measured(attached(KINDS[0]), z + 5)
    assert found == pytest.approx({"effective_rank": 3, "participation_ratio": 3, "fill": 3 / 8})
    values = np.linalg.svd((normal := rng.normal(size=(90, 8))) - normal.mean(0))[1]
    share = values / values.sum()
    assert measured(attached(KINDS[0]), normal)["effective_rank"] == pytest.approx(
        np.exp(-(share * np.log(share)).sum()), rel=1e-4
    )
    constant = measured(attached(KINDS[0]), np.full((9, 8), 3.0))
    assert constant == {"effective_rank": 0.0, "participation_ratio": 0.0, "fill": 0.0}
    broken = measured(attached(KINDS[0]), np.full((9, 8), np.nan))
    assert set(broken.values()) == {"the latents are not finite numbers"}


def test_sparsity_is_one_where_one_dimension_speaks_and_zero_where_all_do_alike() -> None:
    assert measured(attached(KINDS[1]), np.eye(8)) == pytest.approx({"sparsity": 1, "silent": 7 / 8})
    assert measured(attached(KINDS[1]), np.ones((5, 8))) == pytest.approx({"sparsity": 0, "silent": 0})
    assert measured(attached(KINDS[1]), np.zeros((5, 8))) == pytest.approx({"sparsity": 0, "silent": 1})
    one = measured(attached(KINDS[1], latent_slice=(2, 3)), np.eye(8))
    assert one["sparsity"] == "one dimension is neither sparse nor dense"


def test_weights_that_look_for_the_same_have_no_diversity() -> None:
    task: Any = attached(KINDS[2])
    layer = torch.nn.Linear(6, 4, bias=False)
    for weight, expected in (
        (torch.eye(4, 6), 1.0),
        (torch.ones(4, 6) * torch.arange(1.0, 5)[:, None], 0.0),
        (torch.tensor([[1.0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]]), 0.5),
    ):
        layer.weight.data = weight
        task.model = torch.nn.Sequential(layer)
        assert task.summarise({"n": torch.ones(())})["diversity"] == pytest.approx(expected)
    wide = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    layer.weight.data = wide
    cosines = torch.nn.functional.cosine_similarity(wide[:, None], wide[None], dim=2).square()
    alike = (cosines.sum() - 50) / (50 * 49)
    assert task.summarise({"n": torch.ones(())})["diversity"] == pytest.approx(1 - float(alike), abs=1e-5)
    task.model = torch.nn.Sequential()
    assert "no layer" in task.summarise({"n": torch.ones(())})["diversity"]


def test_a_target_in_its_own_group_alone_is_exclusive_and_one_everywhere_is_half(
    rng: np.random.Generator,
) -> None:
    size, digit = rng.normal(size=600).astype(np.float32), rng.integers(0, 4, 600)
    alone = np.zeros((600, 8))
    alone[:, 3:5] = size[:, None]
    alone[:, :3] = np.eye(4)[digit][:, :3]
    found = measured(attached(KINDS[3]), alone, size=size, digit=digit)
    assert found["least_exclusive"] == pytest.approx(1, abs=0.02)
    spread = np.repeat(size[:, None], 8, axis=1)
    everywhere = measured(attached(KINDS[3]), spread, size=size, digit=digit)
    assert everywhere["least_exclusive"] == pytest.approx(0.5, abs=0.05)
    nothing = measured(attached(KINDS[3]), np.zeros((600, 8)), size=size, digit=digit)
    assert "none varies" in str(nothing["exclusivity"])
    with pytest.raises(InvalidInput, match="has the name of a factor group"):
        attached(KINDS[3], AccDataset(helpers.blobs(8).images))


MINE = '''
from acc.api import EvaluationTask

class MeanSize(EvaluationTask):
    """Mean length of the latent."""
    metrics = {"length": False}
    thresholds = {"length": %s}
    %s
'''


def test_a_user_writes_one_in_a_few_lines(dataset: AccDataset) -> None:
    body = (
        "def evaluate(self, output, batch, head):\n"
        "        return {'n': len(batch), 'length': self.latent(output).norm(dim=1).sum()}"
    )
    [mine] = load_source(MINE % ("(9.0, 0.5)", body), "tasks/mean_size.py")
    classes = helpers.shipped_tasks()
    classes.add(mine)
    assert mine.requires["trains"] is False
    assert mine.requires["thresholds"]["length"] == (9.0, 0.5)
    spec = helpers.job({"data": dataset}, [*helpers.all_tasks(), helpers.task("MeanSize", key="mine")])
    _, sink = helpers.run(spec, {"data": dataset}, classes)
    # Its file is gone, and the checkpoint still knows it.
    made = sink.last.checkpoint()
    found = FactoringEvaluator(made, dataset, device="cpu", trust_code=True).metrics()
    [length] = [metric for metric in found if metric.task_key == "mine"]
    assert length.value is not None
    assert length.grade in {"good", "moderate"}


@pytest.mark.parametrize(
    ("thresholds", "body", "sentence"),
    [
        ("(1, 2)", "pass", "does not define evaluate"),
        ("(1, 2, 3)", "def evaluate(self, output, batch, head):\n        return {}", "thresholds is"),
        ("'high'", "def evaluate(self, output, batch, head):\n        return {}", "thresholds is"),
    ],
)
def test_one_that_is_incomplete_is_told_what_is_missing(thresholds: str, body: str, sentence: str) -> None:
    with pytest.raises(PluginError, match=sentence):
        load_source(MINE % (thresholds, body), "tasks/mean_size.py")

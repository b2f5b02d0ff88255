"""The metric suite of a checkpoint: one encoding pass, the rows behind each cell, and reasons where it has none."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from acc.data import AccDataset
from acc.errors import InvalidInput
from acc.evaluation import FactoringEvaluator, evaluate_checkpoint
from acc.evaluation.metrics import Factor, suite
from acc.specs import EVAL_PARTS, EvalSpec, TargetSpec
from acc.tests import evaluated, helpers
from acc.training.split import split_indices


def test_the_numbers_are_those_of_the_suite_on_the_posterior_means() -> None:
    evaluator, data = evaluated.evaluator(), evaluated.data()
    found = evaluator.ufr(permutations=0, resamples=0)
    with torch.no_grad():
        latents = evaluator.model.encode(torch.from_numpy(data.images).float() / 255).posterior_mean
    expected = suite(
        latents,
        [Factor.cat("digit", data.targets["digit"]), Factor.cont("size", data.targets["size"])],
        {"digit": (0, 3), "size": (3, 5), "free": (5, 8)},
        seed=0,
        permutations=0,
        resamples=0,
    )
    assert found.ufr == pytest.approx(expected.ufr.value.value, abs=1e-4)
    assert found.suite.dci.disentanglement.value == pytest.approx(
        expected.dci.disentanglement.value, abs=1e-4
    )
    assert found.suite.ufr.skills.within[2, 1, 0] > 0.7, "size is read from its own group"
    assert 0 < found.ufr <= 1
    assert (found.n, found.rows) == (1000, "all, those trained on among them, which flatters the model")


def test_everything_is_json_and_a_cell_names_its_rows() -> None:
    data = evaluated.data()
    found = evaluated.evaluator().ufr(permutations=2, resamples=2)
    read = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert read["headline"]["ufr"]["value"] == found.ufr
    assert set(read["cells"]) == {"digit|size", "size|digit"}
    cell = found.cells["size|digit"]
    assert set(cell) == {"0", "1", "2", "3"}
    for level, rows in cell.items():
        assert len(rows) == 8
        assert set(data.targets["digit"][list(rows)]) == {int(level)}
        sizes = data.targets["size"][list(rows)]
        assert np.all(np.diff(sizes) >= 0)
        there = data.targets["size"][data.targets["digit"] == int(level)]
        assert (sizes[0], sizes[-1]) == (there.min(), there.max())


def test_a_target_that_no_group_holds_is_a_factor_only_where_it_is_asked_for() -> None:
    data = evaluated.data()
    levels = (data.targets["size"] > np.median(data.targets["size"])).astype(np.int64)
    more = AccDataset(
        data.images,
        {**data.targets, "size_level": levels},
        (*data.target_specs, TargetSpec(name="size_level", kind="class", classes=2)),
    )
    evaluator = evaluated.evaluator(dataset=more)
    few: dict[str, Any] = {"permutations": 0, "resamples": 0}
    assert evaluator.ufr(**few).suite.ufr.concepts == ("digit", "size")
    asked = evaluator.ufr(concepts=["size", "size_level"], **few)
    assert asked.suite.ufr.concepts == ("size", "size_level")
    assert asked.suite.ufr.own == {"size": "size", "size_level": None}


def test_only_held_out_rows_of_a_dataset_that_was_trained_on_count() -> None:
    found = evaluated.evaluator(rows="held_out").encoded()
    _, held_out = split_indices(evaluated.data(), seed=0, val_fraction=0.2)
    np.testing.assert_array_equal(found.rows, np.sort(held_out))
    assert found.words == "held out from training"
    other = evaluated.evaluator(dataset=helpers.blobs(50, seed=9)).encoded()
    assert (len(other.rows), other.words) == (50, "all, of a dataset that was not trained on")


def test_one_pass_of_the_encoder_serves_the_whole_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = evaluated.evaluator(rows="held_out")
    seen: list[int] = []
    inner = evaluator.model.posterior

    def counted(x_BCHW: torch.Tensor) -> Any:
        seen.append(len(x_BCHW))
        return inner(x_BCHW)

    monkeypatch.setattr(evaluator.model, "posterior", counted)
    result = evaluator.evaluate(EvalSpec(suite=EVAL_PARTS, device="cpu"))
    assert seen[:20] == [10] * 20, "the 200 held-out rows are encoded once, in twenty folds, by the metrics"
    assert 200 not in seen
    assert sum(seen) == 200 + 8 + 5 + 8, "and then only the images that are shown"
    assert result.missing == {}
    assert result.attention is not None
    assert result.factoring is not None
    assert len(result.traversals) == len(result.sorts) == 3
    assert result.dataset_key == "data"


def test_the_same_checkpoint_gives_the_same_numbers_each_time() -> None:
    once, again = (evaluated.evaluator().ufr(resamples=5, permutations=5).as_dict() for _ in range(2))
    assert once == again


def test_the_dataset_whose_targets_name_most_groups_is_looked_at() -> None:
    plain = AccDataset(
        evaluated.data().images[:40],
        {"weight": np.linspace(0, 1, 40, dtype=np.float32)},
        [TargetSpec(name="weight", kind="real")],
    )
    datasets = {"plain": plain, "data": evaluated.data()}
    evaluator = FactoringEvaluator(evaluated.checkpoint(), datasets, helpers.shipped_tasks(), device="cpu")
    assert evaluator.default_dataset() == "data"
    assert evaluator.encoded("plain").dataset is plain
    with pytest.raises(InvalidInput, match="'no-such' is not loaded"):
        evaluator.ufr("no-such")


def test_a_model_without_groups_keeps_its_per_dimension_metrics_and_says_why_the_others_are_missing() -> None:
    made = evaluated.trained(helpers.model_spec(factor_groups=()), steps=5)
    result = evaluated.evaluator(made).evaluate(EvalSpec(suite=EVAL_PARTS, device="cpu"))
    reason = "the model has no factor groups; look at its dimensions instead (direction 'dimensions')"
    assert result.missing == {"traversals": reason, "sort": reason}
    assert result.factoring is not None
    headline = result.factoring.suite.headline()
    assert not math.isnan(headline["mig"].value)
    assert not math.isnan(headline["dci_gam_disentanglement"].value)
    assert math.isnan(headline["ufr"].value)
    assert "no factor groups" in headline["ufr"].reason


def test_a_concept_with_one_value_is_left_out_with_a_reason() -> None:
    data = evaluated.data()
    flat = AccDataset(
        data.images, {**data.targets, "size": np.full(1000, 2.0, np.float32)}, data.target_specs
    )
    found = evaluated.evaluator(dataset=flat).ufr(permutations=2, resamples=2)
    assert found.suite.dead == {"size": "'size' has one value, 2.0, in all 1000 samples"}
    assert found.as_dict()["headline"]["ufr"]["reason"]
    pattern = {
        each.axis.name: each for each in evaluated.evaluator(dataset=flat).traversals(direction="pattern")
    }
    assert pattern["size"].reason == "'size' does not vary over these 1000 images, so no probe can read it"


def test_a_context_with_too_few_samples_leaves_its_cell_empty_with_the_reason() -> None:
    data = evaluated.data()
    rows = np.concatenate(
        [np.flatnonzero(data.targets["digit"] != 3), np.flatnonzero(data.targets["digit"] == 3)[:7]]
    )
    thin = AccDataset(
        data.images[rows], {name: values[rows] for name, values in data.targets.items()}, data.target_specs
    )
    found = evaluated.evaluator(dataset=thin).ufr(permutations=2, resamples=2)
    assert found.suite.ufr.empty["size|digit"] == {"3": "digit = 3 has 7 samples; 20 are needed"}
    matrix = found.suite.ufr.matrices["size|digit"]
    assert np.isnan(matrix[:, 3]).all()
    assert np.isfinite(matrix[0, :3, :3]).all()
    assert len(found.cells["size|digit"]["3"]) == 7


def test_latents_that_are_not_numbers_score_zero_and_nothing_is_drawn_of_them() -> None:
    made = evaluated.checkpoint()
    broken = evaluated.with_weights(made, **{"heads.0.bias": torch.full((6,), torch.nan)})
    result = evaluated.evaluator(broken).evaluate(EvalSpec(suite=EVAL_PARTS, device="cpu"))
    assert result.factoring is not None
    assert result.factoring.ufr == 0
    assert "not finite" in result.factoring.suite.ufr.value.reason
    parts: list[Any] = [*result.traversals, *result.sorts]
    assert {each.reason for each in parts} == {"the latents of 3 dimensions (0, 1, 2) are not finite numbers"}
    assert result.missing == {"attention": "the latents of 3 dimensions (0, 1, 2) are not finite numbers"}
    loss = next(metric for metric in result.metrics if metric.name == "loss")
    assert (loss.value, loss.reason) == (None, "came out as nan, which is no finite number")


def test_a_removed_plugins_checkpoint_is_measured_by_the_source_that_it_carries() -> None:
    made = evaluated.checkpoint()
    assert "ClassificationTask" in made.header.plugins
    evaluator = FactoringEvaluator(made, evaluated.data(), device="cpu")
    with_all = {(m.task_key, m.name): m.value for m in evaluated.evaluator(made).metrics()}
    assert {(m.task_key, m.name): m.value for m in evaluator.metrics()} == with_all


def test_a_task_that_nobody_knows_says_so_and_the_rest_is_measured() -> None:
    made = evaluated.checkpoint()
    plugins = {name: kept for name, kept in made.header.plugins.items() if name != "RegressionTask"}
    bare = type(made)(type(made.header)(**{**vars(made.header), "plugins": plugins}), made.tensors, "")
    found = FactoringEvaluator(bare, evaluated.data(), device="cpu").metrics()
    unknown = [metric for metric in found if metric.task_key == "regression"]
    assert [metric.value for metric in unknown] == [None]
    assert "'RegressionTask' is not a known task" in unknown[0].reason
    assert any(metric.name == "accuracy" and metric.value is not None for metric in found)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"concepts": ["colour"]}, "concepts"),
        ({"own": {"size": "colour"}}, "own"),
        ({"concepts": ["digit"], "own": {"size": "size"}}, "own"),
    ],
)
def test_a_wrong_name_is_refused_with_those_that_exist(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        evaluated.evaluator().ufr(**options)
    assert list(refused.value.fields) == [field]


def test_a_dataset_without_targets_has_no_matrix_but_is_traversed() -> None:
    bare = AccDataset(evaluated.data().images[:50])
    evaluator = evaluated.evaluator(dataset=bare)
    assert len(evaluator.traversals()) == 3
    with pytest.raises(InvalidInput, match="has no targets"):
        evaluator.ufr()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"suite": ("magic",)}, "suite"),
        ({"suite": ()}, "suite"),
        ({"own": "digit"}, "own"),
        ({"direction": "up"}, "direction"),
    ],
)
def test_a_wrong_field_of_the_specification_is_named(fields: dict[str, Any], field: str) -> None:
    from acc.specs import parse

    with pytest.raises(InvalidInput) as refused:
        parse(EvalSpec, fields)
    assert list(refused.value.fields) == [field]


def test_names_may_be_written_as_in_a_shell() -> None:
    spec = EvalSpec.model_validate({"own": "thickness=thick, slant=lean", "concepts": "thickness,slant"})
    assert (spec.own, spec.concepts) == ({"thickness": "thick", "slant": "lean"}, ("thickness", "slant"))


def test_one_call_measures_what_its_specification_names() -> None:
    result = evaluate_checkpoint(
        evaluated.checkpoint(), {"data": evaluated.data()}, helpers.shipped_tasks(),
        EvalSpec(suite=("ufr", "sort"), rows="all", device="cpu", sort_images=3, concepts=("size", "digit")),
    )  # fmt: skip
    assert not any((result.metrics, result.reconstructions, result.traversals, result.attention))
    assert result.factoring is not None
    assert result.factoring.suite.ufr.concepts == ("size", "digit")
    assert result.sorts[0].lowest is not None
    assert len(result.sorts[0].lowest.indices) == 3

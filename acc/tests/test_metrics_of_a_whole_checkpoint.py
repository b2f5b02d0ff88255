"""A metric that is a plugin is given what a checkpoint makes of a dataset; a wrong one costs its own numbers alone."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acc.api import InvalidInput, Metric, Param, Representation, Value
from acc.errors import PluginError
from acc.plugins import load_source
from acc.plugins.shipped import shipped_plugins
from acc.specs import EvalSpec
from acc.tests import evaluated, helpers
from acc.training.plugin_set import PluginSet


class Plain(Metric):
    """Tells what it was given."""

    metrics = {"rows": None, "scaled": True}
    times = Param(2.0, min=0, help="what the first latent is multiplied by")
    seen: list[Representation] = []

    def measure(self, found: Representation) -> dict[str, float | str | Value]:
        """Return two numbers."""
        self.seen.append(found)
        return {"rows": len(found.latents), "scaled": Value(self.times, low=1, high=9, chance=0.5)}


def returning(told: Any, **fields: Any) -> type[Metric]:
    """Return a metric of the numbers a and b whose measure gives, or raises, ``told``."""

    def measure(_self: Metric, _found: Representation) -> Any:
        if isinstance(told, BaseException):
            raise told
        return told() if callable(told) else told

    return type("Odd", (Metric,), {"metrics": {"a": True, "b": False}, "measure": measure, **fields})


def numbers(*metrics: type[Metric], **options: Any) -> dict[str, Any]:
    """Return the numbers of metrics of a trained checkpoint by name."""
    found = [value for metric in metrics for value in evaluated.evaluator().custom(metric, **options)]
    return {value.name: value for value in found}


def test_it_is_given_latents_factors_groups_and_the_model() -> None:
    found = numbers(Plain, times=3)
    given, data = Plain.seen[-1], evaluated.data()
    assert found["Plain.rows"].value == len(data) == len(given.latents)
    assert (found["Plain.scaled"].value, found["Plain.scaled"].low, found["Plain.scaled"].chance) == (
        3,
        1,
        0.5,
    )
    assert set(given.factors) == {"digit", "size"}
    assert given.groups.keys() >= {"digit", "size"}
    places = np.arange(5)
    np.testing.assert_allclose(given.encode(given.images(places)), given.latents[:5], atol=1e-5)
    drawn = given.decode(given.posterior(places))
    assert drawn.shape == given.images(places).shape
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_what_it_does_to_its_copy_of_the_model_changes_nothing() -> None:
    evaluator = evaluated.evaluator()
    before = evaluator.encoded().latents.clone()

    class Breaks(Metric):
        metrics = {"gradient": None}

        def measure(self, found: Representation) -> dict[str, float | str | Value]:
            z = torch.tensor(found.posterior(np.arange(2)), requires_grad=True)
            found.model.decode(z).sum().backward()
            for parameter in found.model.parameters():
                parameter.data.zero_()
            assert z.grad is not None
            return {"gradient": z.grad.norm()}

    (value,) = evaluator.custom(Breaks)
    assert value.value is not None
    assert value.value > 0
    rows = evaluator.encoded().rows
    np.testing.assert_allclose(evaluator.encoded().z, before.double().numpy())
    with torch.no_grad():
        assert evaluator.encoded().posterior(rows[:2]).abs().sum() > 0
    with pytest.raises(ValueError, match="read-only"):
        Plain.seen[-1].latents[0] = 0


def test_the_same_seed_gives_the_same_number() -> None:
    class Draws(Metric):
        metrics = {"own": None, "global_": None}

        def measure(self, found: Representation) -> dict[str, float | str | Value]:
            return {"own": found.rng.random(), "global_": torch.rand(1).item() + np.random.rand()}

    first, again, other = numbers(Draws), numbers(Draws), numbers(Draws, seed=1)
    assert {name: each.value for name, each in first.items()} == {n: each.value for n, each in again.items()}
    assert first["Draws.own"].value != other["Draws.own"].value
    assert first["Draws.global_"].value != other["Draws.global_"].value
    assert first["Draws.own"].sample != other["Draws.own"].sample


def _hangs() -> None:
    while True:
        with suppress(Exception):  # as careless code does
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (3.2, "Odd returned 3.2; it must return a number for each name"),
        ({"a": 1, "c": 2}, "Odd returned 'c', which is none of its metrics: a, b"),
        (ValueError("too few"), "Odd failed, ValueError: too few"),
        (SystemExit(3), "Odd failed, SystemExit: 3"),
        ({"a": float("nan"), "b": 1}, "came out as nan, which is no finite number"),
        ({"a": np.inf, "b": 1}, "came out as inf, which is no finite number"),
        ({"a": [1.0], "b": 1}, "came out as [1.0], which is no number"),
        ({"a": True, "b": 1}, "came out as True, which is no number"),
        ({"a": None, "b": 1}, "came out as None, which is no number"),
        ({"b": 1}, "Odd returned nothing of this name"),
        ({"a": "too few images", "b": 1}, "too few images"),
        ({"a": Value(float("nan"), "no variance"), "b": 1}, "no variance"),
        ({"a": 1.5, "b": 1}, "came out as 1.5, and its range is 0 to 1"),
        ({"a": 10**400, "b": 1}, "came out as inf, which is no finite number"),
        ({"a": Value(0.5, low=0.9, high=0.1), "b": 1}, "its interval came out from 0.9 to 0.1"),
        (_hangs, "Odd took longer than its 0.3 s and was stopped"),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_what_is_no_number_is_a_sentence_and_costs_its_own_row(told: Any, said: str) -> None:
    odd = returning(told, ranges={"a": (0, 1)}, seconds=0.3)
    found = numbers(odd, Plain)
    assert found["Odd.a"].value is None
    assert found["Odd.a"].reason.startswith(said)
    assert found["Plain.rows"].value == len(evaluated.data())
    whole = isinstance(told, dict) and "c" not in told
    assert found["Odd.b"].value == (1.0 if whole else None)
    assert found["Odd.b"].higher_is_better is False


@pytest.mark.parametrize("without", [None, 3, (0.4, float("nan")), ("a",)], ids=str)
def test_values_without_groups_that_are_none_are_left_out(without: Any) -> None:
    kept = returning({"a": Value(0.5, without=np.array([0.4, 0.6])), "b": Value(0.5, without=without)})  # type: ignore[arg-type]
    found = numbers(kept)
    assert found["Odd.a"].without == (0.4, 0.6)
    assert (found["Odd.b"].value, found["Odd.b"].without) == (0.5, ())


def test_images_of_whole_numbers_that_are_no_pixels_are_refused() -> None:
    class Brighter(Metric):
        """Encodes images after a sum, which numpy gives another type."""

        metrics = {"same": None}

        def measure(self, found: Representation) -> dict[str, float | str | Value]:
            return {"same": float(found.encode(found.images(np.arange(3)).astype(np.int64)).mean())}

    assert (
        "images of int64 are refused; give uint8, or float in 0..1"
        in numbers(Brighter)["Brighter.same"].reason
    )


def test_latents_that_are_not_finite_are_said_without_asking_it() -> None:
    made = evaluated.checkpoint()
    name = next(name for name in made.tensors if name.startswith("model."))
    broken = evaluated.with_weights(made, **{name[6:]: torch.full_like(made.tensors[name], torch.nan)})
    (value,) = evaluated.evaluator(broken).custom(returning(lambda: {"a": 1}, metrics={"a": True}))
    assert value.value is None
    assert "are not finite numbers" in value.reason


def test_an_evaluation_names_it_beside_the_parts() -> None:
    classes = PluginSet(Plain)
    classes.include(helpers.shipped_tasks())
    evaluator = evaluated.evaluator()
    evaluator.classes = classes
    asked = EvalSpec(suite=("metrics", "Plain"), params={"Plain.times": 4}, dataset="data", rows="all")
    done: list[float] = []
    result = evaluator.evaluate(asked, done.append)
    assert done == [0.5, 1.0]
    assert [(value.task_key, value.name) for value in result.custom] == [
        ("", "Plain.rows"),
        ("", "Plain.scaled"),
    ]
    assert result.custom[1].value == 4
    assert result.metrics
    for wrong, said in (
        ({"suite": ("Nowhere",)}, "'Nowhere' is not a known metric of a whole checkpoint; known: Plain"),
        ({"suite": ("Plain",), "params": {"Plain.times": -1}}, "-1 is below the least allowed, 0"),
        ({"suite": ("Plain",), "concepts": ("nothing",)}, "'nothing' is not a target of the dataset"),
    ):
        with pytest.raises(InvalidInput, match=said):
            evaluator.evaluate(EvalSpec(**{"dataset": "data", "rows": "all", **wrong}))
    with pytest.raises(ValueError, match="is of no metric that is to be measured"):
        EvalSpec(suite=("metrics",), params={"Plain.times": 4})


def test_a_parameter_may_be_called_as_an_evaluation_calls_its_own() -> None:
    class Named(Metric):
        """Has parameters of the names that an evaluation has."""

        metrics = {"sum": None}
        seed = Param(1, help="of its own")
        dataset = Param(2, help="of its own")
        concepts = Param(3, help="of its own")
        metric = Param(4, help="of its own")

        def measure(self, _found: Representation) -> dict[str, float | str | Value]:
            return {"sum": self.seed + self.dataset + self.concepts + self.metric}

    evaluator = evaluated.evaluator()
    evaluator.classes = PluginSet(Named)
    params = {f"Named.{name}": 10 for name in ("seed", "dataset", "concepts", "metric")}
    result = evaluator.evaluate(EvalSpec(suite=("Named",), params=params, dataset="data", rows="all"))
    assert [value.value for value in result.custom] == [40]


HEAD = "from acc.api import Metric\nclass {name}(Metric):\n    {body}\n    def measure(self, found): return {{}}\n"


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("Odd", "pass", "metrics is {}; use a dict of name -> whether higher is better"),
        ("Odd", "metrics = {'A b': True}", "metrics names 'A b'; use a-z, 0-9 and _"),
        ("Odd", "metrics = {'a': 1}", r"metrics\['a'\] is 1; True: higher is better"),
        (
            "Odd",
            "metrics = {'a': True}; ranges = {'b': (0, 1)}",
            "ranges is .*; use a dict of a name of metrics",
        ),
        ("Odd", "metrics = {'a': True}; ranges = {'a': (1, 0)}", "ranges is"),
        ("Odd", "metrics = {'a': True}; seconds = 0", "seconds is 0; use a number up to 3600"),
        ("Odd", "metrics = {'a': True}; paper = 'mine'", "paper is 'mine'; write paper = Paper"),
        ("odd", "metrics = {'a': True}", "begin with a capital letter"),
        ("O" * 33, "metrics = {'a': True}", "at most 32 letters"),
    ],
)
def test_a_file_that_declares_it_wrongly_is_refused(name: str, body: str, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        load_source(HEAD.format(name=name, body=body), "metrics/odd.py")


def test_what_it_measures_is_told_of_the_class() -> None:
    (loaded,) = load_source(
        Path("plugins/metrics/factor_vae_score.py").read_text(), "metrics/factor_vae_score.py"
    )
    assert loaded.kind == "metric"
    assert loaded.label == "FactorVAE score"
    assert loaded.requires["metrics"] == {"score": True}
    assert loaded.requires["ranges"] == {"score": [0, 1]}
    assert loaded.requires["paper"]["year"] == 2018
    assert [param.name for param in loaded.params] == ["votes", "images"]


def world(codes: Any, factors: dict[str, Any]) -> Representation:
    """Return a representation of made-up latents."""

    def none(*_: Any) -> Any:
        raise AssertionError("it looks at latents alone")

    return Representation(
        np.asarray(codes, np.float64), factors, {}, {}, np.arange(len(codes)), None, "made",
        np.random.default_rng(0), 60.0, none, none, none, none, none,
    )  # fmt: skip


def score(codes: Any, factors: dict[str, Any], **params: Any) -> Any:
    """Return the FactorVAE score of made-up latents."""
    metric = shipped_plugins().metric("FactorVAEScore")(**{"votes": 400, **params})
    return metric.measure(world(codes, factors))["score"]


def test_the_factor_vae_score_of_made_latents() -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 4, (2000, 3))
    factors = {name: values[:, at] for at, name in enumerate("abc")}
    perfect = score(values[:, ::-1] * [1.0, 5.0, 0.1], factors)
    assert perfect.value == 1
    assert perfect.low > 0.97
    assert perfect.chance < 0.5
    doubled = score(np.concatenate([values, values], axis=1), factors)
    assert doubled.value == 1
    noise = score(rng.standard_normal((2000, 6)), factors)
    assert noise.value < 0.5
    assert noise.low < noise.chance + 0.1
    padded = score(np.concatenate([values, np.zeros((2000, 2))], axis=1), factors)
    assert padded.value == 1, "a dimension that nothing is in is no place for a factor"
    real = score(values.astype(float), {**factors, "a": values[:, 0] + 0.01 * rng.random(2000)})
    assert real.value > 0.95
    rotated = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    assert score(values @ rotated, factors).value < 1
    assert score(np.zeros((2000, 3)), factors).value == 0
    assert "at least two factors" in score(values, {"a": values[:, 0]})
    assert "at least two factors" in score(values, {"a": values[:, 0], "b": np.zeros(2000, int)})

"""A loss series is told apart from its trivial baseline and from its own past."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from acc.models import build
from acc.specs import TrainSpec
from acc.tests import helpers
from acc.training.losses import health
from acc.training.losses.health import assess, trend, weight_has_no_effect

SERIES = st.lists(st.integers(-1000, 1000), min_size=8, max_size=32).map(
    lambda values: np.array(values, dtype=np.float64)
)
OPPOSITE = {"falling": "rising", "rising": "falling", "flat": "flat"}


@given(SERIES)
@settings(deadline=None)
def test_the_change_is_theil_and_sen_s_slope_over_the_window(values: np.ndarray) -> None:
    slope = scipy.stats.theilslopes(values).slope
    assert trend(values)[1] == pytest.approx(slope * (len(values) - 1), abs=1e-9)


@given(st.permutations(list(range(20))))
@settings(deadline=None)
def test_the_test_is_kendall_s(values: list[int]) -> None:
    series = np.array(values, dtype=np.float64)
    later, earlier = np.tril_indices(20, -1)
    z = health.kendall_z(series, series[later] - series[earlier])
    tau = scipy.stats.kendalltau(np.arange(20), series, method="asymptotic")
    assert 2 * scipy.stats.norm.sf(abs(z)) == pytest.approx(tau.pvalue, abs=0.05)
    assert z == 0 or np.sign(z) == np.sign(tau.statistic)


@given(SERIES, st.sampled_from([2.0**-10, 0.5, 4.0, 2.0**10]))
@settings(deadline=None)
def test_the_unit_of_a_loss_does_not_matter_and_its_sign_turns_the_trend(
    values: np.ndarray, scale: float
) -> None:
    assert trend(values * scale)[0] == trend(values)[0]
    assert trend(-values)[0] == OPPOSITE[trend(values)[0]]


@given(st.integers(0, 2**32 - 1), st.sampled_from([(1.0, "rising"), (0.0, "flat"), (-1.0, "falling")]))
@settings(deadline=None, max_examples=40)
def test_a_clear_slope_is_seen_through_noise_and_spikes(seed: int, case: tuple[float, str]) -> None:
    generator = np.random.default_rng(seed)
    values = 2 + case[0] * np.linspace(0, 1, 640) + generator.normal(0, 0.02, 640)
    values[generator.integers(0, 640, 5)] = 1e6
    assert trend(values)[0] == case[1]


def test_few_values_tell_nothing() -> None:
    assert assess([], 1.0).level == "unknown"
    assert assess([0.1] * 7 + [np.nan], 1.0) == health.Health("unknown", "unknown", 0.1, 0.0)


@pytest.mark.parametrize(
    ("value", "baseline", "floor", "expected"),
    [
        (0.5, 2.3, False, "better than trivial"),
        (2.25, 2.3, False, "at trivial"),
        (3.0, 2.3, False, "worse than trivial"),
        (-3.0, -2.0, False, "better than trivial"),
        (0.01, 0.0, True, "collapsed"),
        (8.0, 0.0, True, "above collapse"),
        (3.0, 4.0, True, "below its floor"),
        (1e-3, 0.0, False, "worse than trivial"),
        (1.0, None, False, "unknown"),
    ],
)
def test_levels(value: float, baseline: float | None, floor: bool, expected: str) -> None:
    assert assess([value] * 20, baseline, floor=floor).level == expected


@given(SERIES, st.integers(-1000, 1000))
@settings(deadline=None)
def test_a_lower_loss_is_never_told_to_be_worse(values: np.ndarray, baseline: int) -> None:
    order = ["better than trivial", "at trivial", "worse than trivial"]
    higher, lower = (assess(series, float(baseline)).level for series in (values, values - 100))
    assert order.index(lower) <= order.index(higher)


def test_a_lone_task_s_weight_is_said_to_change_nothing() -> None:
    lone = helpers.task("reconstruction", weight=4.0)
    off = helpers.task("kl", enabled=False)
    adamw = weight_has_no_effect([lone, off], TrainSpec(steps=1))
    assert "Only 'reconstruction' is enabled" in adamw
    assert "its weight (4) changes nothing" in adamw
    assert weight_has_no_effect([lone, helpers.task("kl")], TrainSpec(steps=1)) == ""
    assert weight_has_no_effect([lone], TrainSpec(steps=1, optimizer="sgd")) == ""
    assert "draws it" in weight_has_no_effect([lone], TrainSpec(steps=1, optimizer="sgd", schedule="sampled"))
    assert "only which gradients are clipped at 1" in weight_has_no_effect(
        [lone], TrainSpec(steps=1, grad_clip_norm=1)
    )
    assert "weight decay of 0.0001" in weight_has_no_effect([lone], TrainSpec(steps=1, optimizer="adam"))


@pytest.mark.parametrize(("optimizer", "same"), [("adamw", True), ("sgd", False)])
def test_what_is_said_of_a_lone_weight_is_what_training_does(optimizer: str, same: bool) -> None:
    datasets = {"data": helpers.blobs(40)}
    found = []
    start = helpers.weights(build(helpers.model_spec(), {}))
    for weight in (1.0, 16.0):
        spec = helpers.job(
            datasets, (helpers.task("reconstruction", weight=weight),), optimizer=optimizer, steps=5
        )
        assert bool(weight_has_no_effect(spec.tasks, spec.train)) == same
        trainer, _ = helpers.run(spec, datasets)
        found.append(helpers.weights(trainer.model))
    # Adam's epsilon still tells tiny gradients apart, so the norm of the difference is looked at, not single weights.
    moved, apart = (
        np.sqrt(sum(float(np.square(one[name] - other[name]).sum()) for name in one))
        for one, other in [(found[0], start), (found[0], found[1])]
    )
    assert (apart < 0.1 * moved) == same

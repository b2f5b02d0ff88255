"""The jackknife: every probe fitted anew without each group of samples, and units that are never divided."""

import numpy as np
import pytest
import torch

from acc.differences import standard_error
from acc.errors import InvalidInput
from acc.evaluation.metrics import Factor, compared, suite
from acc.evaluation.metrics.jackknife import deal, interval
from acc.evaluation.metrics.prepared import prepare
from acc.evaluation.metrics.ufr import measure_ufr
from acc.tests.metrics import worlds

FEW = {"classes": 2, "reals": 1}
VERSIONS = 5


def scans(seed: int, units: int = 120):
    """A real concept that is the same in all versions of a scan, read through noise that they share."""
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(units), VERSIONS)
    size, side = rng.normal(size=units)[unit], np.tile(np.arange(VERSIONS), units) % 2
    noise = rng.normal(size=units)[unit] + 0.1 * rng.normal(size=len(unit))
    z = np.column_stack([size + noise, side + 0.3 * rng.normal(size=len(unit)), rng.normal(size=len(unit))])
    return z, [Factor.cont("size", size), Factor.cat("side", side)], unit


def measured(z, factors, unit, **options):
    groups = {"size": (0, 1), "side": (1, 2), "free": (2, 3)}
    return suite(z, factors, groups, seed=0, permutations=0, units=unit, **options)


def test_the_standard_error_of_a_mean_is_the_one_of_the_textbook():
    values = np.random.default_rng(0).normal(size=2000)
    dealt = deal(torch.arange(2000), 2000, 0).group.numpy()
    without = np.array([values[dealt != group].mean() for group in range(20)])
    assert standard_error(without) == pytest.approx(1 / np.sqrt(2000), rel=0.35)
    low, high = interval(np.array([values.mean(), *without]))
    assert (low + high) / 2 == pytest.approx(values.mean())


@pytest.mark.parametrize("group", [0, 7])
def test_a_replicate_is_the_score_of_probes_fitted_and_tested_without_the_group(group):
    """An independent way to the same number: give only the other samples, in the same folds."""
    world = worlds.mixed(0.3, 500, **FEW)
    whole = prepare(world.z, world.factors, world.groups, seed=0)
    found = measure_ufr(whole, permutations=0)
    alone = measure_ufr(whole.without(group), permutations=0, resamples=0)
    # A sample between two classes may fall either way when the ridge differs in the fourth digit.
    # The leak is looked at where the whole has it, and it may be the greatest elsewhere without the group.
    assert found.value.without[group] == pytest.approx(alone.value.value, abs=0.02)
    assert found.mean_unified.without[group] == pytest.approx(alone.mean_unified.value, abs=3e-3)
    assert found.parallelism.without[group] == pytest.approx(alone.parallelism.value, abs=0.01)
    assert found.all_dimensions_across.without[group] == pytest.approx(
        alone.all_dimensions_across.value, abs=3e-3
    )


def test_units_are_divided_neither_between_folds_nor_between_groups():
    z, factors, unit = scans(0)
    ready = prepare(z, factors, {"size": (0, 1), "side": (1, 3)}, seed=0, units=unit)
    for dealt in (ready.fold, ready.dealt.group):
        assert all(len(set(dealt[ready.unit == u].tolist())) == 1 for u in range(120))
    sizes = np.bincount(ready.dealt.group.numpy()) / VERSIONS
    assert (sizes.min(), sizes.max(), len(sizes)) == (6, 6, 20)
    assert ready.units == 120


def test_intervals_of_units_are_wider_than_those_that_take_versions_for_independent_and_true():
    """Versions of a scan err alike: as single rows they look like five times as much evidence."""

    def unified(seed: int, *, units: bool, resamples: int):
        z, factors, unit = scans(seed, 60)
        groups = {"size": (0, 1), "side": (1, 2), "free": (2, 3)}
        ready = prepare(z, factors, groups, seed=0, units=unit if units else None)
        return measure_ufr(ready, permutations=0, resamples=resamples).unified["size"]

    spread = np.std([unified(seed, units=True, resamples=0).value for seed in range(30)])
    errors = {}
    for units in (True, False):
        found = [unified(seed, units=units, resamples=20) for seed in range(4)]
        errors[units] = np.mean([(value.high - value.low) / 2 / 2.093 for value in found])
    assert errors[True] == pytest.approx(spread, rel=0.5)
    assert errors[False] < 0.7 * errors[True]


def test_the_order_of_samples_changes_nothing_with_units():
    z, factors, unit = scans(1, 60)
    order = np.random.default_rng(3).permutation(len(z))
    mixed = [Factor(factor.name, factor.values[order], factor.kind) for factor in factors]
    once, again = measured(z, factors, unit), measured(z[order], mixed, unit[order])
    assert again.ufr.value.value == pytest.approx(once.ufr.value.value, abs=1e-9)
    assert again.ufr.value.low == pytest.approx(once.ufr.value.low, abs=1e-6)


def test_two_representations_of_the_same_units_are_dealt_alike():
    z, factors, unit = scans(2, 60)
    other = np.random.default_rng(0).normal(size=z.shape)
    a, b = (prepare(each, factors, None, seed=0, units=unit) for each in (z, other))
    assert torch.equal(a.unit, b.unit)
    assert torch.equal(a.fold, b.fold)
    assert torch.equal(a.dealt.group, b.dealt.group)


def test_few_units_have_fewer_groups_or_no_interval_and_say_so():
    z, factors, unit = scans(0, 12)
    few = measured(z, factors, unit)
    assert few.groups_left_out == 12
    assert few.ufr.value.low is not None
    assert "intervals come from 12 groups, one for each unit; they are rough" in few.notes
    z, factors, unit = scans(0, 120)
    unit = unit // 20
    none = measured(z, factors, unit)
    assert none.ufr.value.low is None
    assert none.ufr.value.defined
    reason = "no interval: 6 units are too few; at least 8 are needed"
    assert reason in none.notes
    assert none.ufr.value.detail["interval"] == reason
    z, factors, unit = scans(0, 10)
    three = measured(z[:50], [Factor(f.name, f.values[:50], f.kind) for f in factors], unit[:50] % 3)
    assert three.ufr.value.reason == "3 units are too few; folds keep units whole, and 4 are needed"


@pytest.mark.parametrize(
    "units", [np.zeros(7, dtype=int), np.linspace(0, 1, 60), np.zeros((60, 1), dtype=int)]
)
def test_units_that_do_not_fit_are_refused(units):
    with pytest.raises(InvalidInput, match="a whole number for each of the 60 latents is needed"):
        prepare(np.zeros((60, 2)), [], None, seed=0, units=units)


def test_a_difference_on_the_same_images_is_surer_than_two_intervals_would_say():
    z, factors, unit = scans(4)
    noisier = z + 0.25 * np.random.default_rng(1).normal(size=z.shape)
    first, second = (measured(each, factors, unit).ufr.unified["size"] for each in (z, noisier))
    found = compared(first, second)
    assert found is not None
    assert found.value == pytest.approx(second.value - first.value)
    assert found.high - found.low < 0.7 * ((first.high - first.low) + (second.high - second.low)) / 2
    same = compared(first, first)
    assert same is not None
    assert (same.value, same.low, same.high, same.beyond_noise) == (0, 0, 0, False)
    assert compared(first, measured(z, factors, unit, resamples=0).ufr.unified["size"]) is None
    assert compared(first, measured(z, factors, unit, resamples=10).ufr.unified["size"]) is None


def test_every_headline_number_of_a_live_code_has_an_interval_around_it():
    for name, value in worlds.mixed(0.3, 600, **FEW).measure(resamples=20).headline().items():
        assert value.low is not None, name
        assert value.high is not None, name
        assert value.low <= value.value <= value.high, name
        assert len(value.without) == 20, name

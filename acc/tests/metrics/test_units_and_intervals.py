"""The jackknife: every probe fitted anew without each group of samples, and units that are never divided."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from acc.differences import standard_error
from acc.errors import InvalidInput
from acc.evaluation.metrics import Factor, compared, suite
from acc.evaluation.metrics.explicitness import explicitness
from acc.evaluation.metrics.gam import _deciles
from acc.evaluation.metrics.information import _labels
from acc.evaluation.metrics.jackknife import Deal, deal, interval, smoothed
from acc.evaluation.metrics.parallelism import cosines_of
from acc.evaluation.metrics.prepared import prepare
from acc.evaluation.metrics.skills import SkillTable
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
def test_a_replicate_across_contexts_is_the_skill_of_the_other_samples_alone(group):
    """An independent way to the same numbers: give only the other samples, in the same folds."""
    world = worlds.mixed(0.3, 500, **FEW)
    ready = prepare(world.z, world.factors, world.groups, seed=0)
    found = SkillTable(ready)
    others = ready.without(group)
    alone = SkillTable(replace(others, dealt=Deal(torch.zeros_like(others.fold), 0)))
    assert found.across[1 + group] == pytest.approx(alone.across[0], abs=1e-5, nan_ok=True)
    for context, pairs in alone.pairs.items():
        for concept, pair in pairs.items():
            cosines, _ = cosines_of([pair])
            assert found.cosines[concept, context][1 + group] == pytest.approx(
                cosines[0].numpy(), abs=1e-9, nan_ok=True
            )


@pytest.mark.parametrize("group", [0, 7])
def test_a_replicate_within_contexts_counts_what_refitting_changes_by_its_share(group):
    """By hand: ridge probes of each level, fitted on the other folds with and without the group, tested without it."""
    world = worlds.mixed(0.3, 500, **FEW)
    ready = prepare(world.z, world.factors, world.groups, seed=0)
    z, fold = ready.z.numpy(), ready.fold.numpy()
    left = ready.dealt.group.numpy() != group
    names = [column.name for column in ready.columns]
    concept, context = names.index("real0"), names.index("class0")
    y, level = ready.columns[concept].values.numpy(), ready.columns[context].level.numpy()

    def skill(fitted):
        skills = []
        for at in range(level.max() + 1):
            errors = np.zeros(len(z))
            for held in range(4):
                fit, test = fitted & (level == at) & (fold != held), (level == at) & (fold == held)
                centred = z[fit] - z[fit].mean(0)
                covariance = centred.T @ centred / fit.sum() + 0.01 * np.eye(z.shape[1])
                slope = np.linalg.solve(covariance, centred.T @ y[fit] / fit.sum())
                errors[test] = (y[test] - y[fit].mean() - (z[test] - z[fit].mean(0)) @ slope) ** 2
            here = (level == at) & left
            skills.append(1 - errors[here].mean() / y[here].var())
        return np.mean(skills)

    kept, refitted = skill(np.ones_like(left)), skill(left)
    assert SkillTable(ready).within[1 + group, 0, concept, context] == pytest.approx(
        kept + (np.sqrt(2) - 1) * (refitted - kept), abs=1e-6
    )


def root_mean_square(values):
    return np.sqrt(np.square(values).mean())


def error_of(found):
    """Return the root mean square of the standard errors of numbers (draws, 1 + J, ...)."""
    return root_mean_square([standard_error(each[1:]) for each in found])


def test_the_error_of_a_skill_that_is_not_there_is_the_true_one():
    """Of a probe that stays it would be .8 of that, of one that is fitted anew twice that."""

    def skills(seed: int, resamples: int):
        rng = np.random.default_rng(seed)
        z, side, size = rng.normal(size=(200, 12)), rng.permutation(200) % 2, rng.normal(size=200)
        slots = {f"slot{k}": (2 * k, 2 * k + 2) for k in range(6)}
        factors = [Factor.cont("size", size), Factor.cat("side", side)]
        return SkillTable(prepare(z, factors, slots, seed=0, resamples=resamples)).within[:, 1:, 1, 0]

    spread = root_mean_square(np.std([skills(seed, 0)[0] for seed in range(60)], axis=0, ddof=1))
    assert error_of([skills(seed, 20) for seed in range(8)]) == pytest.approx(spread, rel=0.2)


def test_the_error_of_cosines_that_are_cut_off_at_one_is_less_than_of_those_that_are_not():
    found, whole = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        size, side = rng.normal(size=300), rng.permutation(300) % 3
        z = np.column_stack([size, size, side]) + rng.normal(size=(300, 3))
        ready = prepare(z, [Factor.cont("size", size), Factor.cat("side", side)], None, seed=0)
        table = SkillTable(ready)
        found.append(table.parallelism[:, 0, 0, 1])
        whole.append(table.cosines[0, 1][:, 0].mean(axis=1))
    spread = np.std([each[0] for each in found], ddof=1)
    assert spread < error_of(found) < 0.8 * error_of(whole)


def test_what_is_left_without_a_group_keeps_its_folds_and_its_bins():
    """Bins whose edges followed the samples would carry others across, like noise that is drawn anew each time."""
    world = worlds.mixed(0.3, 500, **FEW)
    ready = prepare(world.z, world.factors, world.groups, seed=0)
    for group in (0, 7):
        part, left = ready.without(group), ready.dealt.group != group
        assert torch.equal(part.fold, ready.fold[left])
        assert torch.equal(part.rows_of(part.once("deciles", _deciles)), _deciles(ready)[left])
        assert not torch.equal(_deciles(part), _deciles(ready)[left])
        labels, _ = _labels(part, 2)
        assert torch.equal(labels, _labels(ready, 2)[0][left])


def test_a_probe_of_one_half_stays_when_a_group_of_that_half_alone_is_left_out():
    world = worlds.mixed(0.3, 500, **FEW)
    ready = prepare(world.z, world.factors, world.groups, seed=0)
    train, _ = ready.halves
    only = torch.full_like(ready.dealt.group, -1)
    only[train[:40]] = 0
    whole, part = explicitness(ready), explicitness(replace(ready, dealt=Deal(only, 1)).without(0))
    assert part.table == pytest.approx(whole.table)


def test_a_score_without_a_group_is_exact_where_the_score_is_linear():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(21, 3))
    moved = smoothed(lambda each: each @ [1.0, -2.0, 3.0], values)
    expected = values @ [1.0, -2.0, 3.0]
    assert moved[0] == pytest.approx(expected[0])
    assert moved[1:] - moved[1:].mean() == pytest.approx(expected[1:] - expected[1:].mean())


def test_the_error_of_the_greatest_of_equals_is_less_than_that_of_each_and_true():
    rng = np.random.default_rng(1)
    greatest, errors, single = [], [], []
    for _ in range(300):
        samples = rng.normal(size=(20, 3))  # groups of one: without each, the mean of the other 19
        without = (samples.sum(0) - samples) / 19
        values = np.vstack([samples.mean(0), without])
        found = smoothed(lambda each: each.max(axis=1), values)
        greatest.append(found[0])
        errors.append(standard_error(found[1:]))
        single.append(standard_error(without[:, 0]))
    off, told = np.array(greatest) - np.mean(greatest), np.array(errors)
    assert np.mean(told) == pytest.approx(np.std(greatest), rel=0.15)
    assert np.mean(told) < 0.85 * np.mean(single)
    assert 0.92 <= np.mean(np.abs(off) <= 2.093 * told) <= 0.98


@pytest.mark.parametrize(
    ("at", "share"), [(5.0, 1.0), (0.0, np.sqrt((0.25 + 0.5 - 0.5 / np.pi) / 2)), (-5.0, 0.0)]
)
def test_what_is_cut_off_moves_a_score_between_as_often_as_it_is_not_and_by_its_spread(at, share):
    rng = np.random.default_rng(2)
    values = np.concatenate([[at], at + rng.normal(size=20) / 20])
    whole = smoothed(lambda each: each, values)
    cut = smoothed(lambda each: np.maximum(each, 0), values)
    assert standard_error(cut[1:]) == pytest.approx(share * standard_error(whole[1:]), abs=0.02)


def test_without_an_estimate_that_a_group_alone_defines_there_is_no_score():
    values = np.ones((21, 2))
    values[4, 1] = np.nan
    found = smoothed(lambda each: each.sum(axis=1), values)
    assert found[0] == 2
    assert np.isnan(found[1:]).all()


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
        wide = "parallelism" in name or (name.startswith("dci") and not name.endswith("informativeness"))
        assert ("wider than 95 %" in value.detail.get("interval", "")) == wide, name

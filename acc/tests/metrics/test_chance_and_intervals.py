"""Chance from shuffled labels and intervals by the jackknife."""

import numpy as np
import pytest

from acc.tests.metrics import worlds

FEW = {"classes": 2, "reals": 1}


def test_the_interval_holds_the_estimate_and_narrows_with_samples():
    widths = []
    for n in (400, 3200):
        value = worlds.mixed(0.3, n, **FEW).measure(resamples=20).ufr.value
        assert value.low is not None
        assert value.high is not None
        assert value.low <= value.value <= value.high
        widths.append(value.high - value.low)
    assert widths[1] < widths[0]
    assert 0 < widths[1] < 0.05


@pytest.mark.long(4)
def test_skill_intervals_cover_the_skill_of_new_samples():
    truth = worlds.mixed(0.3, 20000, **FEW).measure().ufr.skills.across
    covered = []
    for seed in range(6):
        skills = worlds.mixed(0.3, 2000, seed=seed, **FEW).measure(resamples=20).ufr.skills
        defined = ~np.isnan(truth)
        inside = (skills.across_low <= truth + 0.01) & (truth - 0.01 <= skills.across_high)
        covered.append(inside[defined].mean())
    assert np.mean(covered) > 0.8


def test_chance_of_ufr_is_zero_for_a_good_code_and_skills_have_their_own():
    result = worlds.mixed(0.1, 800, **FEW).measure(permutations=20)
    assert result.ufr.value.chance == 0
    assert result.ufr.value.detail["permutations"] == 20
    assert all(0 <= (value.chance or 0) < 0.05 for value in result.ufr.unified.values())
    skills = result.ufr.skills
    assert np.nanmean(skills.chance_within) == pytest.approx(0, abs=0.03)
    own = [skills.chance_across[g + 1, g] for g in range(3)]
    assert np.nanmean(own) == pytest.approx(0, abs=0.03)


def test_chance_shuffles_leave_the_estimate_alone():
    world = worlds.mixed(0.1, 800, **FEW)
    with_chance, without = world.measure(permutations=5, resamples=5), world.measure()
    assert with_chance.ufr.value.value == without.ufr.value.value
    assert without.ufr.value.chance is None
    assert without.ufr.value.low is None


def test_chance_equals_the_skill_of_labels_shuffled_by_hand():
    """Shuffling labels before the call and inside it must give the same distribution."""
    world = worlds.factored(600, **FEW)
    inside = world.measure(permutations=40).ufr.skills.chance_within
    by_hand = np.mean([world.shuffled(seed).measure().ufr.skills.within for seed in range(12)], axis=0)
    defined = ~np.isnan(inside)
    assert inside[defined] == pytest.approx(by_hand[defined], abs=0.08)
    assert np.mean(inside[defined] - by_hand[defined]) == pytest.approx(0, abs=0.02)

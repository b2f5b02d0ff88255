"""The suite on latents whose scores are known: perfect, doubled, rotated, shuffled, dead, swapped, leaking."""

import numpy as np
import pytest

from acc.evaluation.metrics import Factor, Groups
from acc.tests.metrics import worlds
from acc.tests.metrics.worlds import World

TOLERANCE = 0.02


def test_perfect_slots_score_one_everywhere():
    result = worlds.perfect(4000).measure()
    table = result.headline()
    ones = [
        name
        for name in table
        if name.startswith(("ufr", "unified", "factored", "dci", "mig", "sap", "mod", "transfer"))
    ]
    assert len(ones) > 15
    for name in [*ones, "explicitness", "explicitness_own", "parallelism", "parallelism_own"]:
        assert table[name].value == pytest.approx(1, abs=TOLERANCE), name
    for scores in (result.ufr.unified, result.ufr.factored):
        assert all(value.value == pytest.approx(1, abs=TOLERANCE) for value in scores.values())


def test_doubled_dimensions_cost_mig_and_completeness_but_not_the_group_versions():
    table = worlds.perfect(4000, copies=2).measure().headline()
    assert table["ufr"].value == pytest.approx(1, abs=TOLERANCE)
    assert table["mig"].value == pytest.approx(0, abs=1e-9)
    assert table["sap"].value == pytest.approx(0, abs=1e-9)
    assert table["mig_groups"].value == pytest.approx(1, abs=TOLERANCE)
    assert table["sap_groups"].value == pytest.approx(1, abs=TOLERANCE)
    assert table["dci_gam_disentanglement"].value == pytest.approx(1, abs=TOLERANCE)
    assert table["dci_gam_completeness"].value == pytest.approx(1 - np.log(2) / np.log(10), abs=TOLERANCE)
    assert table["dci_gam_completeness_groups"].value == pytest.approx(1, abs=TOLERANCE)


def test_a_random_rotation_keeps_what_all_dimensions_know_and_loses_the_slots():
    result = worlds.factored().rotated().measure()
    assert result.ufr.all_dimensions_across.value > 0.98
    assert result.ufr.value.value < 0.2
    assert result.dci.disentanglement.value < 0.5


def test_shuffled_labels_leave_nothing_above_chance():
    result = worlds.factored(4000).shuffled().measure(permutations=10)
    skills = result.ufr.skills
    assert result.ufr.value.value == 0
    assert np.nanmax(np.abs(skills.within)) < 0.1
    assert np.nanmean(skills.across) == pytest.approx(0, abs=0.01)
    assert np.nanmax(np.abs(skills.chance_within)) < 0.05
    table = result.headline()
    for name in ("mig_corrected", "sap", "dci_gam_informativeness", "ufr_matched", "transfer_all_dimensions"):
        assert table[name].value == pytest.approx(0, abs=0.03), name
    assert table["explicitness"].value == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("filling", [0.0, 0.1, 1e6, np.nan, np.inf, -np.inf])
def test_a_collapsed_latent_scores_zero_and_says_why(filling):
    world = worlds.perfect(800)
    result = world.with_latents(np.full_like(world.z, filling)).measure(permutations=3, resamples=5)
    assert result.ufr.value.value == 0
    assert ("constant" if np.isfinite(filling) else "not finite") in result.ufr.value.reason
    assert all(value.value == 0 for value in result.ufr.unified.values())
    assert all(value.value == 0 for value in result.ufr.factored.values())
    assert result.information.mig.value == 0
    assert result.sap.sap.value == 0
    assert result.spectrum.effective_rank.value == 0
    assert result.explicitness.explicitness.value == 0


def test_one_value_that_is_not_finite_fails_the_representation():
    world = worlds.perfect(800)
    z = world.z.copy()
    z[17, 2] = np.nan
    result = world.with_latents(z).measure()
    assert result.ufr.value.value == 0
    assert "1 latent values are not finite (dimensions 2)" in result.ufr.value.reason


def test_a_sign_flipped_by_a_binary_context_is_readable_within_it_but_not_unified():
    rng = np.random.default_rng(0)
    y, side = rng.uniform(-1, 1, 2000), rng.permutation(2000) % 2
    z = np.column_stack([y * (2 * side - 1), side])
    groups = Groups.ranges({"y": (0, 1), "side": (1, 2)})
    result = World(z, [Factor.cont("y", y), Factor.cat("side", side)], groups, None).measure()
    assert worlds.within(result, "y", "y", "side") == pytest.approx(1, abs=TOLERANCE)
    assert worlds.across(result, "y", "y", "side") == -1
    assert result.ufr.unified["y"].value == 0
    assert result.ufr.skills.parallelism[1, 0, 1] == pytest.approx(-1, abs=TOLERANCE)


def test_right_codes_in_the_wrong_slots_score_zero_until_matched():
    world = worlds.factored()
    names = [factor.name for factor in world.factors]
    swapped = World(
        world.z, world.factors, world.groups, dict(zip(names, names[1:] + names[:1], strict=True))
    )
    result = swapped.measure()
    assert result.ufr.value.value == pytest.approx(0, abs=TOLERANCE)
    assert result.ufr.matched_value.value > 0.95
    matched = swapped.measure(match=True)
    assert matched.ufr.value.value > 0.95
    assert matched.ufr.value.detail["own"] == "matched"
    assert matched.ufr.own == {name: name for name in names}


def test_a_copy_of_everything_in_the_free_slot_leaks():
    world = worlds.perfect()
    groups = Groups.ranges({**{f.name: (i, i + 1) for i, f in enumerate(world.factors)}, "free": (5, 10)})
    result = World(np.hstack([world.z, world.z]), world.factors, groups, None).measure()
    assert all(value.value == pytest.approx(1, abs=TOLERANCE) for value in result.ufr.unified.values())
    assert all(value.value == pytest.approx(0, abs=TOLERANCE) for value in result.ufr.factored.values())
    assert all(value.detail["from"] == "free" for value in result.ufr.leak.values())
    assert result.ufr.value.value == pytest.approx(0, abs=TOLERANCE)


def test_correlated_labels_alone_are_no_leak():
    rng = np.random.default_rng(0)
    a = rng.permutation(4000) % 3
    b = np.where(rng.random(4000) < 0.6, a, rng.integers(0, 3, 4000))
    z = np.column_stack([a, b]).astype(float)
    groups = Groups.ranges({"a": (0, 1), "b": (1, 2)})
    result = World(z, [Factor.cat("a", a), Factor.cat("b", b)], groups, None).measure()
    assert result.ufr.value.value == pytest.approx(1, abs=0.05)


def test_one_group_for_everything_is_undefined_not_perfect():
    world = worlds.perfect(800)
    own = {factor.name: "all" for factor in world.factors}
    result = World(world.z, world.factors, Groups.ranges({"all": (0, 5)}), own).measure()
    assert np.isnan(result.ufr.value.value)
    assert "at least two" in result.ufr.value.reason

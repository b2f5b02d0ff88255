"""What no group names leaks, a wild value silences nothing, a collapsed code is 0 everywhere, few samples say so."""

import numpy as np
import pytest

from acc.evaluation.metrics import Factor, Groups, suite
from acc.tests.metrics import worlds
from acc.tests.metrics.worlds import World


def pair(n: int = 2000, seed: int = 0):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, n), rng.permutation(n) % 3
    return [Factor.cont("a", a), Factor.cat("b", b)], np.column_stack([a, b - 1.0])


def measure(z, factors, groups, **options):
    return suite(z, factors, groups, seed=0, permutations=0, resamples=0, **options)


def test_a_copy_in_dimensions_that_no_group_names_is_a_leak():
    factors, z = pair()
    result = measure(np.hstack([z, z]), factors, {"a": (0, 1), "b": (1, 2)})
    assert result.ufr.value.value == pytest.approx(0, abs=0.01)
    assert {value.detail["from"] for value in result.ufr.leak.values()} == {"rest"}
    assert result.ufr.views == ("*", "a", "b", "rest")
    assert result.leakage.groups == ("a", "b", "rest")
    assert "2 active dimensions in no group: they are one more group, 'rest'" in " ".join(result.notes)
    whole = measure(np.hstack([z, z]), factors, {"a": (0, 1), "b": (1, 2), "free": (2, 4)})
    assert whole.ufr.value.value == pytest.approx(result.ufr.value.value)


def test_a_rest_without_anything_in_it_is_no_group_and_one_called_so_keeps_its_name():
    factors, z = pair()
    dead = measure(np.hstack([z, np.zeros((2000, 2))]), factors, {"a": (0, 1), "b": (1, 2)})
    assert dead.ufr.views == ("*", "a", "b")
    assert dead.ufr.value.value == pytest.approx(1, abs=0.02)
    named = measure(np.hstack([z, z]), factors, {"a": (0, 1), "b": (1, 2), "rest": (2, 3)})
    assert named.ufr.views[-2:] == ("rest", "rest 2")


def test_the_rest_is_the_place_of_no_concept():
    factors, z = pair()
    result = measure(np.hstack([np.zeros_like(z), z]), factors, {"a": (0, 1), "b": (1, 2)}, match=True)
    assert "rest" not in result.ufr.own.values()
    assert result.ufr.value.value == 0


@pytest.mark.parametrize("wild", [1e4, -1e6, 1e12])
def test_one_wild_value_silences_no_dimension_and_is_told(wild):
    world = worlds.perfect(3000)
    before = world.measure()
    z = world.z.copy()
    z[1234, 3] = wild
    after = world.with_latents(z).measure()
    assert after.active == (True,) * 5
    for name in ("ufr", "unified", "factored", "dci_gam_disentanglement", "sap", "explicitness"):
        assert after.headline()[name].value == pytest.approx(before.headline()[name].value, abs=0.03), name
    assert after.notes == (
        "1 latent value lies far out, more than 3 times the range of the inner 99% beyond it (dimensions 3); "
        "it counts as if it lay there",
    )


def test_a_dimension_that_moves_in_one_sample_does_not_set_the_scale():
    world = worlds.perfect(1000)
    spike = np.zeros((1000, 1))
    spike[5] = 1e4
    groups = Groups.indices({**dict(zip(world.groups.names, world.groups.dims, strict=True)), "free": (5,)})
    result = World(np.hstack([world.z, spike]), world.factors, groups, None).measure()
    assert all(result.active[:5])
    assert result.ufr.value.value == pytest.approx(1, abs=0.03)


def test_ordinary_codes_are_left_as_they_are():
    rng = np.random.default_rng(0)
    rare = (rng.random(4000) < 0.02) * rng.uniform(0.5, 2, 4000)
    factors, z = pair(4000)
    given = np.column_stack([z, rng.normal(size=4000), rare])
    assert measure(given, factors, {"a": (0, 1), "b": (1, 2), "free": (2, 4)}).notes == ()


def test_inactive_dimensions_are_counted_beside_the_score():
    factors, z = pair()
    result = measure(np.column_stack([z, 1e-4 * z]), factors, {"a": (0, 1), "b": (1, 2), "free": (2, 4)})
    assert result.ufr.value.detail["inactive"] == 2
    assert "2 of 4 dimensions are inactive" in result.notes[0]


@pytest.mark.parametrize("filling", [0.0, 3.0, np.nan, np.inf])
@pytest.mark.parametrize("resamples", [0, 20])
def test_a_collapsed_code_is_zero_with_the_reason_in_every_number(filling, resamples):
    world = worlds.perfect(400)
    result = world.with_latents(np.full_like(world.z, filling)).measure(permutations=2, resamples=resamples)
    for name, value in result.headline().items():
        assert value.value == 0, name
        assert value.reason, name


def test_a_code_that_carries_no_factor_has_zero_disentanglement_not_none():
    from acc.evaluation.metrics.dci import _weighted
    from acc.evaluation.metrics.prepared import prepare

    factors, z = pair(100)
    found = _weighted(prepare(z, factors, None, seed=0), np.zeros((2, 2)), "dci_gam", "dimension")
    assert (found.value, found.reason) == (0, "no dimension carries any factor")


@pytest.mark.parametrize("n", [2, 7, 19])
def test_one_guard_of_twenty_samples_stands_before_every_number(n):
    factors, z = pair(n)
    result = measure(z, factors, {"a": (0, 1), "b": (1, 2)})
    for name, value in result.headline().items():
        assert np.isnan(value.value), name
        assert value.reason in (f"{n} samples are too few; at least 20 are needed",), name


def test_two_concepts_in_one_group_beside_an_idle_one_are_noted():
    rng = np.random.default_rng(0)
    factors, z = pair()
    groups = {"both": (0, 2), "idle": (2, 3)}
    z = np.column_stack([z, rng.normal(size=2000)])
    result = measure(z, factors, groups, own={"a": "both", "b": "both"})
    assert result.notes == (
        "'a' and 'b' share the group 'both', which is not counted as a leak, while 'idle' holds no concept: "
        "they are not told apart from each other",
    )


@pytest.mark.parametrize("seed", range(6))
def test_matched_is_never_below_declared(seed):
    rng = np.random.default_rng(seed)
    factors, z = pair(600, seed)
    mixed = np.column_stack([z, rng.normal(size=(600, 3))]) @ rng.normal(size=(5, 5))
    groups = {"first": (0, 2), "second": (2, 4), "third": (4, 5)}
    own = {name: str(rng.choice(list(groups))) for name in ("a", "b")}
    result = measure(mixed, factors, groups, own=own)
    assert result.ufr.matched_value.value >= result.ufr.value.value
    assert measure(mixed, factors, groups, own=own, match=True).ufr.value.value == pytest.approx(
        result.ufr.matched_value.value
    )


def test_a_shared_group_that_scores_is_not_beaten_by_a_worse_matching():
    factors, z = pair()
    z = np.column_stack([z, np.random.default_rng(0).normal(size=2000)])
    result = measure(z, factors, {"both": (0, 2), "idle": (2, 3)}, own={"a": "both", "b": "both"})
    assert result.ufr.value.value > 0.9
    assert result.ufr.matched_value.value == result.ufr.value.value
    assert result.ufr.matched_value.detail["own"] == "declared"

"""What few seeds can say: beside scipy, by counting, and by what must hold of any numbers."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from acc.errors import InvalidInput
from acc.studies import statistics as s

numbers = st.floats(-100, 100).map(lambda value: round(value, 3))
some = st.lists(numbers, min_size=2, max_size=9)


def test_the_interval_of_a_paired_difference_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for n in (2, 5, 30):
        first, second = rng.normal(1, 2, n), rng.normal(0, 1, n)
        found = s.paired_difference(first, second, 0.1)
        asked = stats.ttest_rel(first, second).confidence_interval(0.9)
        assert (found.low, found.high) == pytest.approx((asked.low, asked.high))
        assert found.mean == pytest.approx((first - second).mean())
        assert found.n == n


def test_one_seed_bounds_nothing() -> None:
    found = s.mean_interval([3.0])
    assert found.mean == 3
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert math.isnan(found.spread)
    assert math.isnan(s.effect([3.0]).d_z)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("n", [2, 5, 8, 11])
def test_the_sign_flip_test_is_the_permutation_test_of_scipy(n: int, alternative: s.Alternative) -> None:
    d = np.random.default_rng(n).normal(0.5, 1, n)
    asked = stats.permutation_test(
        (d,), np.sum, permutation_type="samples", alternative=alternative, n_resamples=np.inf
    )
    assert s.sign_flip(d, alternative=alternative).p == pytest.approx(asked.pvalue)


@given(some, st.sampled_from([0.0, 0.05, -1.0]))
def test_the_sign_flip_test_counts_all_signs(differences: list[float], margin: float) -> None:
    d = np.array(differences) - margin
    sums = np.array([np.dot(signs, d) for signs in itertools.product((1, -1), repeat=len(d))])
    extreme = np.abs(sums) >= abs(d.sum()) - 1e-9 * np.abs(d).sum()
    assert s.sign_flip(differences, margin).p == pytest.approx(extreme.mean())


@given(some)
def test_p_does_not_know_of_order_scale_or_which_arm_is_first(differences: list[float]) -> None:
    found = s.sign_flip(differences).p
    assert s.smallest_p(len(differences)) <= found <= 1
    assert s.sign_flip(differences[::-1]).p == pytest.approx(found)
    assert s.sign_flip([-4 * each for each in differences]).p == pytest.approx(found)


def test_many_seeds_are_counted_exactly_and_very_many_are_drawn() -> None:
    rng = np.random.default_rng(1)
    d = rng.normal(0.3, 1, 40)
    assert s.sign_flip(d).exact
    assert s.sign_flip(d).p == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.02)
    more = rng.normal(0.2, 1, 60)
    drawn = s.sign_flip(more)
    assert not drawn.exact
    assert drawn.p == pytest.approx(stats.ttest_1samp(more, 0).pvalue, abs=0.02)
    assert s.sign_flip(more) == drawn, "the draws are the same each time"


def test_a_thousand_seeds_need_no_memory_to_speak_of() -> None:
    d = np.random.default_rng(2).normal(1, 1, 1_000)
    tracemalloc.start()
    found = s.sign_flip(d)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * 2**20
    assert found.p == found.smallest == 2 / (s.DRAWS + 1), "no draw reaches further"


def test_the_fewest_seeds_of_a_test_are_those_with_which_it_can_decide() -> None:
    for betting in (None, s.Betting(), s.Betting(2.0)):
        for claims in range(1, 6):
            least = s.fewest_seeds(0.05 / claims, betting=betting)
            best = [2.0] * least

            def p(d: list[float], test: s.Betting | None = betting) -> float:
                return s.sign_flip(d).p if test is None else float(test.p(d)[0][-1])

            assert p(best) <= 0.05 / claims < p(best[1:])


def test_five_seeds_cannot_decide_and_six_can() -> None:
    assert s.sign_flip([1, 2, 3, 4, 5]).p == 0.0625 == s.smallest_p(5)
    assert s.sign_flip([1, 2, 3, 4, 5, 6]).p == 0.03125
    assert s.fewest_seeds() == 6
    assert s.fewest_seeds(0.05, "greater") == 5
    assert s.fewest_seeds(0.05 / 3) == 7


def test_holm_is_that_of_its_paper() -> None:
    assert s.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert s.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_a_p_and_bonferronis(p: list[float]) -> None:
    found = s.holm(p)
    for own, adjusted in zip(p, found, strict=True):
        assert own <= adjusted <= min(1.0, len(p) * own) or adjusted == max(
            f for q, f in zip(p, found, strict=True) if q <= own
        )
    assert min(found) == pytest.approx(min(1.0, len(p) * min(p)))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(found)[order]) >= 0).all(), "a smaller p stays the smaller one"


def test_effect_counts_wins_and_ties() -> None:
    found = s.effect([1.0, 3.0, 0.0, -2.0])
    assert (found.wins, found.ties, found.n) == (2, 1, 4)
    assert found.d_z == pytest.approx(0.5 / math.sqrt(13 / 3))
    assert s.effect([2.0, 2.0]).d_z == math.inf
    assert math.isnan(s.effect([0.0, 0.0]).d_z)


@pytest.mark.parametrize("betting", [s.Betting(), s.Betting(2.0)])
def test_capital_is_on_average_what_it_was_under_equal_arms(betting: s.Betting) -> None:
    """Of all signs of some differences: what makes it a martingale."""
    sizes = np.random.default_rng(2).uniform(0.1, 2, 9)
    paths = np.array(list(itertools.product((1, -1), repeat=9))) * sizes
    for capital in betting.wealth(paths):
        assert np.exp(capital[:, -1]).mean() == pytest.approx(1)
        assert np.exp(capital[:, 3]).mean() == pytest.approx(1)


@pytest.mark.parametrize("betting", [s.Betting(), s.Betting(1.0)])
def test_whoever_looks_after_each_seed_is_wrong_in_at_most_one_of_twenty(betting: s.Betting) -> None:
    d = np.random.default_rng(3).uniform(0, 1, (3_000, 60)) - np.random.default_rng(4).uniform(
        0, 1, (3_000, 60)
    )
    false = (np.minimum(*betting.p(d)) <= 0.05).any(axis=1).sum()
    assert stats.binomtest(int(false), 3_000, 0.05, "greater").pvalue > 0.001


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-0.9, 0.9), min_size=2, max_size=14), st.sampled_from([None, 1.0]))
def test_the_interval_is_what_the_test_does_not_refuse(differences: list[float], bound: float | None) -> None:
    betting = s.Betting(bound)
    found = betting.interval(differences)
    assert found.low <= found.mean <= found.high
    size = max(map(abs, differences)) or 1.0
    for low, high in ((found.low, found.low - 0.01 * size), (found.high, found.high + 0.01 * size)):
        if math.isfinite(low) and (bound is None or abs(high) < bound):
            assert min(p[-1] for p in betting.p(differences, high)) <= 0.05 + 1e-6


def test_p_never_rises_with_another_look() -> None:
    above, below = s.Betting().p(np.random.default_rng(5).normal(1.5, 1, 40))
    assert (np.diff(above) <= 0).all()
    assert (np.diff(below) <= 0).all()
    assert above[-1] < 0.05 < below[-1]


def test_what_lies_outside_its_bound_is_refused() -> None:
    with pytest.raises(InvalidInput, match="bound: 0.5 is not a bound: a difference is 0.6"):
        s.Betting(0.5).p([0.1, 0.6])


def test_a_number_that_is_none_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidInput, match="nan is no finite number; leave the seed out"):
        s.sign_flip([1.0, math.nan])
    with pytest.raises(InvalidInput, match="at least one seed"):
        s.mean_interval([])
    with pytest.raises(InvalidInput, match="it has 3 seeds, first 2"):
        s.paired_difference([1, 2], [1, 2, 3])


def test_power_is_that_of_a_paired_t_test() -> None:
    rng = np.random.default_rng(6)
    found = (stats.ttest_1samp(rng.normal(1, 1, (4_000, 8)), 0, axis=1).pvalue < 0.05).mean()
    assert s.power(1, 8) == pytest.approx(found, abs=0.02)
    assert s.seeds_needed(1) == 10
    assert s.seeds_needed(math.inf) == 6
    assert s.seeds_needed(0.05) is None


def test_more_seeds_are_needed_the_wider_the_spread() -> None:
    narrow, wide = [0.9, 1.0, 1.1, 1.0], [0.0, 2.0, -1.0, 2.5]
    for betting in (None, s.Betting()):
        few, many = s.more_seeds(narrow, betting=betting), s.more_seeds(wide, betting=betting)
        assert few is not None
        assert many is not None
        assert 2 <= few < many
    assert s.more_seeds([0.0, 0.0]) is None
    assert s.more_seeds([1.0, -1.0]) is None
    assert s.more_seeds(narrow, margin=1.0) is None, "what lies on the margin is never decided"

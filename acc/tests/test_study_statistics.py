"""What few seeds can say: beside scipy, by counting, and by what must hold of any numbers."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
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


def test_arms_are_lopsided_where_one_spreads_more_than_three_times_as_much() -> None:
    assert s.lopsided([1, 2, 3], [1, 5, 9]) == pytest.approx(4)
    assert s.lopsided([1, 5, 9], [1, 2, 3]) == pytest.approx(0.25)
    assert s.lopsided([1, 2, 3], [4, 4, 4]) == 0
    assert s.lopsided([4, 4, 4], [1, 2, 3]) == math.inf
    assert s.lopsided([0.1 + 0.2] * 3, [0.3] * 3) == s.lopsided([1], [2]) == 1, "neither spreads"
    wide = s.Interval(1.0, 0.5, 2.0, 1.0, 5).widened()
    assert (wide.low, wide.mean, wide.high) == (0, 1, 3)


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
    for sequential in (None, s.Spending(), s.Betting(2.0)):
        for claims in (1, 2, 4):
            least = s.fewest_seeds(0.05 / claims, sequential=sequential)
            best = [2.0] * least

            def p(d: list[float], test: s.Sequential | None = sequential) -> float:
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


def test_capital_is_on_average_what_it_was_under_equal_arms() -> None:
    """Of all signs of some differences: what makes it a martingale."""
    sizes = np.random.default_rng(2).uniform(0.1, 2, 9)
    paths = np.array(list(itertools.product((1, -1), repeat=9))) * sizes
    for capital in s.Betting(2.0).wealth(paths):
        assert np.exp(capital[:, -1]).mean() == pytest.approx(1)
        assert np.exp(capital[:, 3]).mean() == pytest.approx(1)


@settings(max_examples=25, deadline=None)
@given(st.lists(numbers, min_size=6, max_size=9), st.sampled_from([0.05, 0.2, 0.6]))
def test_of_all_signs_no_more_are_refused_by_a_look_than_was_written_down(
    differences: list[float], level: float
) -> None:
    """That is the guarantee: given the sizes, whatever they are, at every look, to either side."""
    test, n = s.Spending(levels=(level,)), len(differences)
    paths = np.array(list(itertools.product((1, -1), repeat=n))) * np.abs(differences)
    for p in test.p(paths):
        refused = (p <= level).mean(axis=0)
        assert (refused <= level / 2 * s.spent(np.arange(1, n + 1)) + 1e-12).all()


def test_a_look_refuses_the_largest_sums_that_are_left() -> None:
    """Beside an enumeration that knows nothing of grids: whole numbers lie on one after the sixth seed."""
    n, level = 10, 0.3
    sizes = np.array([16, 8, 24, 16, 8, 16, 40, 12, 4, 20]) / 16.0
    sizes[:6] *= math.sqrt(6 / np.square(sizes[:6]).sum())
    sizes[:6] = np.rint(16 * sizes[:6]) / 16
    signs = np.array(list(itertools.product((1, -1), repeat=n)))
    asked = np.full(len(signs), n + 1)
    weights = np.rint(s._sizes(sizes))
    for look in range(s.FIRST_LOOK, n + 1):
        sums, allowed = signs[:, :look] @ weights[:look], level / 2 * s.spent(look) * len(signs)
        for value in sorted(set(sums[asked > n]), reverse=True):
            if (asked < look).sum() + ((asked >= look) & (sums >= value)).sum() > allowed:
                break
            asked[(asked > n) & (sums >= value)] = look
    found = np.array([s._looks(tuple(path), (level,))[0] for path in (signs * sizes).tolist()])
    assert (found <= n).any()
    assert (found == asked).all()


def test_steps_that_grow_wider_change_no_guarantee(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s, "WIDEST", 60)
    sizes = np.random.default_rng(3).lognormal(0, 1, 10)
    signs = np.array(list(itertools.product((1, -1), repeat=10)))
    found = np.array([s._looks(tuple(path), (0.2,))[0] for path in (signs * sizes).tolist()])
    shares = np.array([(found <= look).mean() for look in range(1, 11)])
    assert (shares <= 0.1 * s.spent(np.arange(1, 11))).all()
    assert shares[-1] > 0.03


@pytest.mark.parametrize("test", [s.Spending(levels=(0.05,)), s.Betting(1.0)], ids=["signs", "bounds"])
def test_whoever_looks_after_each_seed_is_wrong_in_at_most_one_of_twenty(test: s.Sequential) -> None:
    one, other = (np.random.default_rng(seed).uniform(0, 1, (1_000, 40)) for seed in (3, 4))
    false = (np.minimum(*test.p(one - other)) <= 0.05).any(axis=1).sum()
    assert stats.binomtest(int(false), 1_000, 0.05, "greater").pvalue > 0.001


def test_spending_never_ends_and_never_exceeds_what_there_is() -> None:
    spent = s.spent(np.arange(1, 10_000))
    assert (spent[: s.FIRST_LOOK - 1] == 0).all()
    assert (np.diff(spent[s.FIRST_LOOK - 2 :]) > 0).all()
    assert 0.99 < spent[-1] < 1


def test_p_of_a_sequential_sign_flip_test_knows_no_scale_and_is_mirrored() -> None:
    d = np.random.default_rng(8).normal(1, 1, 14)
    above, below = s.Spending().p(d)
    for other in (s.Spending().p(4 * d), s.Spending().p(d + 2, 2.0), s.Spending().p(-d)[::-1]):
        assert (other[0] == above).all()
        assert (other[1] == below).all()
    assert (s.Spending().p(np.stack([d, -d]))[0] == np.stack([above, below])).all()
    assert (s.Spending().p(np.zeros(9))[0] == 1).all()
    assert above[12] == s.Spending().p(d[:13])[0][-1], "what comes later changes nothing"


def test_p_is_the_least_level_that_decides() -> None:
    d = np.random.default_rng(9).normal(0.9, 1, 16)
    p = float(s.Spending().p(d)[0][-1])
    assert p in s.LEVELS
    assert 0.05 in s.LEVELS
    assert s._looks(tuple(d), (p,))[0] <= 16 < s._looks(tuple(d), (s.LEVELS[s.LEVELS.index(p) - 1],))[0]


KEPT_AGAIN = [0.0, 0.7734375, 0.28125, 0.125, -0.34375, -0.328125, -0.5, 0.0, 0.1875, 0.0]
"""Of which 0.384 is refused as a centre, 0.388 is not, and 0.392 is."""


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-0.9, 0.9), min_size=2, max_size=14), st.sampled_from([None, 1.0]))
@example(KEPT_AGAIN, None)
def test_the_interval_is_what_the_test_does_not_refuse(differences: list[float], bound: float | None) -> None:
    test = s.Betting(bound) if bound else s.Spending(levels=(0.05,))
    found = test.interval(differences)
    assert found.low <= found.mean <= found.high
    size = max(map(abs, differences)) or 1.0
    for low, high in ((found.low, found.low - 0.01 * size), (found.high, found.high + 0.01 * size)):
        if math.isfinite(low) and (bound is None or abs(high) < bound):
            assert min(p[-1] for p in test.p(differences, high)) <= 0.05 + 1e-6


def test_no_centre_that_is_kept_lies_outside_the_interval() -> None:
    test = s.Spending(levels=(0.05,))
    found = test.interval(KEPT_AGAIN)
    above = [p[1][-1] for p in (test.p(KEPT_AGAIN, centre) for centre in (0.384, 0.388, 0.392))]
    assert above == [0.05, 1.0, 0.05], "or this is no example of it"
    assert 0.388 < found.high < 0.392


def test_p_never_rises_with_another_look() -> None:
    above, below = s.Spending().p(np.random.default_rng(5).normal(1.5, 1, 40))
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
    for sequential in (None, s.Spending()):
        few, many = s.more_seeds(narrow, sequential=sequential), s.more_seeds(wide, sequential=sequential)
        assert few is not None
        assert many is not None
        assert 2 <= few < many
    assert s.more_seeds([0.0, 0.0]) is None
    assert s.more_seeds([1.0, -1.0]) is None
    assert s.more_seeds(narrow, margin=1.0) is None, "what lies on the margin is never decided"

"""A metric is called good, moderate or poor only where its whole interval is, and where it beats what is trivial."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acc.results import Grade, MetricValue, graded

NUMBERS = st.floats(-100, 100, allow_nan=False)
RANKS = {"no better than trivial": 0, "poor": 1, "moderate": 2, "good": 3}


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS), NUMBERS, st.tuples(NUMBERS, NUMBERS), st.booleans())
def test_no_word_of_praise_for_what_is_no_better_than_trivial(
    interval: tuple[float, float, float], trivial: float, limits: tuple[float, float], higher: bool
) -> None:
    thresholds = (min(limits), max(limits)) if higher else (max(limits), min(limits))
    low, value, high = sorted(interval)
    found = graded(value, higher, low=low, high=high, trivial=trivial, thresholds=thresholds)
    beaten = value > trivial if higher else value < trivial
    assert (found == "no better than trivial") == (not beaten)
    if found in ("good", "moderate", "poor"):
        for end in (low, high):
            assert graded(end, higher, trivial=trivial, thresholds=thresholds) == found
    elif beaten:
        assert found == "unclear"
        assert (
            len({graded(end, higher, trivial=trivial, thresholds=thresholds) for end in (low, value, high)})
            > 1
        )


@given(NUMBERS, NUMBERS, NUMBERS, st.tuples(NUMBERS, NUMBERS), st.booleans())
def test_a_better_value_has_no_worse_a_word(
    one: float, other: float, trivial: float, limits: tuple[float, float], higher: bool
) -> None:
    thresholds = (min(limits), max(limits)) if higher else (max(limits), min(limits))
    worse, better = sorted((one, other), reverse=not higher)
    words = [graded(value, higher, trivial=trivial, thresholds=thresholds) for value in (worse, better)]
    assert RANKS[words[0]] <= RANKS[words[1]]


@given(NUMBERS, NUMBERS, st.booleans())
def test_a_scale_that_is_turned_over_changes_no_word(value: float, trivial: float, higher: bool) -> None:
    there = graded(value, higher, low=value - 1, high=value + 1, trivial=trivial, thresholds=None)
    turned = graded(-value, not higher, low=-value - 1, high=-value + 1, trivial=-trivial, thresholds=None)
    assert there == turned


@pytest.mark.parametrize(
    ("value", "interval", "trivial", "thresholds", "expected"),
    [
        (0.052, (0.051, 0.053), 0.04, (0.5, 0.1), "no better than trivial"),
        (0.052, (0.051, 0.053), 0.2, (0.5, 0.1), "good"),
        (0.09, (0.07, 0.11), 0.2, (0.5, 0.1), "unclear"),
        (0.19, (0.17, 0.21), 0.2, None, "unclear"),
        (0.15, (0.14, 0.16), 0.2, None, "better than trivial"),
        (0.15, (0.14, 0.16), None, None, ""),
    ],
)
def test_a_loss_is_judged_by_its_interval_and_the_trivial_loss(
    value: float,
    interval: tuple[float, float],
    trivial: float | None,
    thresholds: tuple[float, float] | None,
    expected: Grade,
) -> None:
    low, high = interval
    metric = MetricValue(
        "task", "loss", value, False, baseline=trivial, thresholds=thresholds, low=low, high=high
    )
    assert metric.grade == expected


def test_where_neither_high_nor_low_is_good_there_is_no_word() -> None:
    assert graded(3.0, None, trivial=1.0, thresholds=(1.0, 2.0)) == ""
    assert graded(None, True, trivial=1.0, thresholds=(1.0, 2.0)) == ""

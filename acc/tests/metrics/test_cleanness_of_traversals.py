"""Cleanness of traversals whose measured values are given."""

import numpy as np
import pytest

from acc.errors import InvalidInput
from acc.evaluation.metrics import cleanness

STEPS = np.linspace(-2, 2, 9)


def paths(own, *others, seeds=5):
    return np.repeat(
        np.stack([np.asarray(path, dtype=float) for path in (own, *others)], axis=-1)[None], seeds, axis=0
    )


def test_a_full_range_monotone_selective_traversal_is_clean():
    found = cleanness(paths(STEPS, np.zeros(9)), [1, 1], 0, np.ones((5, 9)))
    assert found.cleanness.value == pytest.approx(1)
    assert (found.range_sd, found.monotone, found.selective, found.kept) == pytest.approx((4, 1, 1, 1))


def test_half_the_range_is_half_as_clean():
    assert cleanness(paths(STEPS * 3 / 8, np.zeros(9)), [1, 1], 0).cleanness.value == pytest.approx(0.5)


def test_direction_does_not_matter_but_seeds_must_agree():
    assert cleanness(paths(-STEPS), [1], 0).cleanness.value == pytest.approx(1)
    both = np.concatenate([paths(STEPS, seeds=3), paths(-STEPS, seeds=3)])
    assert cleanness(both, [1], 0).cleanness.value == pytest.approx(0)


def test_moving_another_concept_as_much_halves_it():
    found = cleanness(paths(STEPS, 10 * STEPS), [1, 10], 0)
    assert found.selective == pytest.approx(0.5)
    assert found.cleanness.value == pytest.approx(0.5)


def test_a_path_that_turns_back_is_not_monotone():
    assert cleanness(paths(np.abs(STEPS)), [1], 0).monotone == pytest.approx(0, abs=1e-9)


def test_losing_the_identity_costs_its_share():
    kept = np.ones((5, 9))
    kept[:, 6:] = 0
    assert cleanness(paths(STEPS), [1], 0, kept).cleanness.value == pytest.approx(2 / 3)


def test_a_dead_traversal_and_an_unmeasurable_one_score_zero():
    assert cleanness(paths(np.zeros(9), np.zeros(9)), [1, 1], 0).cleanness.value == 0
    values = paths(STEPS, np.zeros(9), seeds=4)
    values[0, 3, 0] = np.nan
    found = cleanness(values, [1, 1], 0)
    assert found.cleanness.value == pytest.approx(0.75**2, abs=1e-9)
    assert "1 of 4 paths" in found.cleanness.reason


def test_concepts_that_never_vary_cannot_be_judged_and_do_not_disturb():
    assert "does not vary" in cleanness(paths(STEPS), [0], 0).cleanness.reason
    assert cleanness(paths(np.zeros(9), STEPS), [0, 1], 1).cleanness.value == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((np.zeros((5, 9)), [1], 0), "measured"),
        ((np.zeros((5, 1, 1)), [1], 0), "measured"),
        ((np.zeros((5, 9, 2)), [1], 0), "spread"),
        ((np.zeros((5, 9, 2)), [1, 1], 2), "concept"),
        ((np.zeros((5, 9, 2)), [1, 1], 0, np.ones(5)), "kept"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(arguments, field):
    with pytest.raises(InvalidInput) as refused:
        cleanness(*arguments)
    assert field in refused.value.fields

"""Directions: the probe's pattern and the principal component."""

import numpy as np
import pytest

from acc.evaluation.metrics import pattern_direction, principal_direction


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_pattern_points_where_the_concept_moves_the_latents_not_where_the_probe_looks(rng):
    y, distractor = rng.normal(size=5000), rng.normal(size=5000)
    z = np.column_stack([y + distractor, distractor])  # the best probe is z0 - z1
    found = pattern_direction(z, y)
    assert found
    assert found.vector == pytest.approx([1, 0], abs=0.05)


def test_the_principal_direction_is_that_of_greatest_variance(rng):
    z = rng.normal(size=(5000, 1)) * [3.0, -4.0] + 0.1 * rng.normal(size=(5000, 2))
    found = principal_direction(z)
    assert found
    assert found.vector == pytest.approx([-0.6, 0.8], abs=0.01)


def test_nine_steps_cover_the_quantiles_of_the_data(rng):
    found = principal_direction(rng.normal(size=(20000, 2)) * [1.0, 0.1])
    assert found
    assert len(found.positions) == 9
    assert found.positions[[0, -1]] == pytest.approx([-2.05, 2.05], abs=0.1)


def test_a_traversal_moves_along_the_direction_and_keeps_the_rest(rng):
    z = rng.normal(size=(100, 3))
    found = principal_direction(z)
    assert found
    moved = found.traverse(z[:5])
    assert moved.shape == (5, 9, 3)
    across = np.eye(3) - np.outer(found.vector, found.vector)
    assert (moved - z[:5, None]) @ across == pytest.approx(np.zeros((5, 9, 3)), abs=1e-12)
    assert found.project(moved.reshape(-1, 3)) == pytest.approx(np.tile(found.positions, 5))


@pytest.mark.parametrize("z", [np.zeros((50, 2)), np.full((50, 2), np.nan)])
def test_a_dead_slot_has_no_direction(z):
    assert principal_direction(z) is None
    assert pattern_direction(z, np.arange(50)) is None

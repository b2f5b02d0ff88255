"""Coding directions from one context to the next."""

import numpy as np
import pytest

from acc.evaluation.metrics import Factor, Groups, suite


def cosine(z, concept, context, groups=None):
    result = suite(z, [concept, context], groups, seed=0, permutations=0, resamples=0)
    return result.ufr.skills.parallelism[0, 0, 1], result


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("angle", [0.0, 0.5, np.pi / 3, np.pi / 2, 2.5, np.pi])
@pytest.mark.parametrize("kind", ["cat", "cont"])
def test_a_direction_turned_by_an_angle_has_its_cosine(rng, angle, kind):
    n = 4000
    side = rng.permutation(n) % 2
    y = rng.permutation(n) % 2 * 2.0 - 1 if kind == "cat" else rng.uniform(-1, 1, n)
    z = np.where(side[:, None] == 1, y[:, None] * [np.cos(angle), np.sin(angle)], y[:, None] * [1.0, 0.0])
    z += 0.05 * rng.normal(size=z.shape)
    # Equal spread in both dimensions, so that standardising does not change the angle.
    z = np.column_stack([z, np.zeros(n)])
    spread = z.std(axis=0)
    turned = np.array([np.cos(angle), np.sin(angle)]) / spread[:2]
    straight = np.array([1.0, 0.0]) / spread[:2]
    expected = turned @ straight / np.linalg.norm(turned) / np.linalg.norm(straight)
    value, _ = cosine(z, Factor("y", y, kind), Factor.cat("side", side))
    assert value == pytest.approx(expected, abs=0.05)


def test_noise_does_not_pull_the_cosine_towards_zero(rng):
    """The plain cosine of these estimated directions is near 0.5; unbiased norms bring it to 1."""
    n = 800
    y, side = rng.permutation(n) % 2, rng.permutation(n) % 2
    signal = np.zeros(60)
    signal[:4] = 0.35
    found = []
    for _ in range(5):
        z = (2 * y - 1)[:, None] * signal + rng.normal(size=(n, 60))
        found.append(cosine(z, Factor.cat("y", y), Factor.cat("side", side))[0])
    assert np.mean(found) == pytest.approx(1, abs=0.12)


def test_unrelated_latents_have_no_direction(rng):
    y, side = rng.permutation(600) % 3, rng.permutation(600) % 2
    value, result = cosine(rng.normal(size=(600, 5)), Factor.cat("y", y), Factor.cat("side", side))
    assert np.isnan(value)
    assert "rises above its noise" in result.ufr.parallelism.reason


def test_length_of_the_direction_does_not_matter(rng):
    n = 2000
    y, side = rng.uniform(-1, 1, n), rng.permutation(n) % 2
    z = (y * (1 + 4 * side))[:, None] + 0.05 * rng.normal(size=(n, 1))
    assert cosine(z, Factor.cont("y", y), Factor.cat("side", side))[0] == pytest.approx(1, abs=0.01)


def test_groups_have_their_own(rng):
    n = 2000
    y, side = rng.permutation(n) % 2, rng.permutation(n) % 2
    z = np.column_stack([y, (2 * y - 1) * (2 * side - 1), side]) + 0.02 * rng.normal(size=(n, 3))
    groups = Groups.ranges({"y": (0, 1), "flip": (1, 2), "side": (2, 3)})
    _, result = cosine(z, Factor.cat("y", y), Factor.cat("side", side), groups)
    own, flip = result.ufr.skills.parallelism[1, 0, 1], result.ufr.skills.parallelism[2, 0, 1]
    assert own == pytest.approx(1, abs=0.01)
    assert flip == pytest.approx(-1, abs=0.01)
    assert result.ufr.parallelism_own.value == pytest.approx(1, abs=0.01)

"""How UFR falls as slots mix, and what must hardly move it."""

from itertools import pairwise

import numpy as np
import pytest

from acc.evaluation.metrics import Factor, labels, levels, moments, prepared
from acc.tests.metrics import worlds
from acc.tests.metrics.worlds import World


def test_the_factored_code_scores_high_and_the_fractured_and_rotated_ones_low():
    world = worlds.factored(4000)
    assert world.ufr() == pytest.approx(0.99, abs=0.015)
    assert world.rotated().ufr() < 0.2
    assert fractured(4000).ufr() < 0.2


def fractured(n: int) -> World:
    """Each slot holds its concept by another code for each value of its neighbour."""
    world = worlds.factored(n)
    z = world.z.copy()
    rng = np.random.default_rng(5)
    for slot, factor in enumerate(world.factors):
        neighbour = levels.context_levels(world.factors[(slot + 1) % 5])[0]
        turns = [np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(neighbour.max() + 1)]
        part = slice(3 * slot, 3 * slot + 3)
        z[:, part] = np.einsum("nd,nde->ne", z[:, part], np.stack(turns)[neighbour])
        assert factor.name
    return world.with_latents(z)


def test_ufr_falls_with_the_mixing_angle_as_the_prototype_did():
    prototype = {0: 0.99, 0.05: 0.91, 0.1: 0.82, 0.2: 0.67, 0.3: 0.56, 0.5: 0.43, 0.8: 0.30, 1.2: 0.18}
    scores = [worlds.mixed(angle, 1600).ufr() for angle in prototype]
    assert all(before > after for before, after in pairwise(scores))
    # Another world than the prototype's, with other noise: the same curve within a seventh.
    assert scores == pytest.approx(list(prototype.values()), abs=0.15)


def test_leaks_swaps_and_noise_score_zero():
    world = worlds.factored()
    everything = np.hstack([world.z[:, :15], world.z[:, :15]])
    groups = {name: (3 * i, 3 * i + 3) for i, name in enumerate(world.groups.names[:5])} | {"free": (15, 30)}
    assert World(everything, world.factors, groups, None).ufr() == pytest.approx(0, abs=0.02)
    assert world.with_latents(np.random.default_rng(0).normal(size=world.z.shape)).ufr() == 0


def test_the_seed_of_the_folds_hardly_moves_it():
    world = worlds.mixed(0.2, 4000)
    scores = [world.ufr(seed=seed) for seed in range(3)]
    assert max(scores) - min(scores) < 0.01


@pytest.mark.parametrize(
    ("module", "name", "values"), [(moments, "RIDGE", (1e-4, 1e-1)), (levels, "QUANTILE_BINS", (2, 5))]
)
def test_the_ridge_and_the_context_bins_hardly_move_it(monkeypatch, module, name, values):
    world = worlds.factored(3000)
    before = world.ufr()
    for value in values:
        monkeypatch.setattr(module, name, value)
        assert world.ufr() == pytest.approx(before, abs=0.01)


def test_1200_samples_are_enough_for_a_mixed_code():
    big = worlds.mixed(0.1, 6000).ufr()
    assert worlds.mixed(0.1, 1200).ufr() == pytest.approx(big, abs=0.03)


def test_the_constants_of_the_specification():
    assert (prepared.FOLDS, moments.RIDGE, prepared.INACTIVE_BELOW) == (4, 0.01, 0.01)
    assert (prepared.MIN_SAMPLES, labels.MIN_CLASS_SAMPLES) == (20, 3)
    assert Factor.cat("a", [1]).kind == "cat"

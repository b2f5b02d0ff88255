"""Skills whose value follows from the definition of the probe."""

import numpy as np
import pytest

from acc.evaluation.metrics import Factor
from acc.tests.metrics.worlds import across, probed, within

N = 6000


@pytest.fixture
def uniform():
    return np.random.default_rng(3).uniform(-1, 1, N)


def test_a_cubic_code_has_linear_skill_084(uniform):
    result = probed(uniform[:, None] ** 3, Factor.cont("y", uniform))
    assert within(result, "y", "y", "context") == pytest.approx(0.84, abs=0.02)
    assert across(result, "y", "y", "context") == pytest.approx(0.84, abs=0.02)


def test_a_square_code_has_no_linear_skill(uniform):
    result = probed(uniform[:, None] ** 2, Factor.cont("y", uniform))
    assert within(result, "y", "y", "context") == pytest.approx(0, abs=0.02)


def test_as_much_noise_as_signal_halves_the_skill():
    rng = np.random.default_rng(0)
    y = rng.normal(size=N)
    result = probed((y + rng.normal(size=N))[:, None], Factor.cont("y", y))
    assert within(result, "y", "y", "context") == pytest.approx(0.5, abs=0.03)
    assert across(result, "y", "y", "context") == pytest.approx(0.5, abs=0.03)


def test_imbalanced_classes_with_unrelated_latents_have_no_skill():
    rng = np.random.default_rng(0)
    y = (rng.random(N) < 0.05).astype(int)
    result = probed(rng.normal(size=(N, 3)), Factor.cat("y", y))
    assert within(result, "y", "y", "context") == pytest.approx(0, abs=0.06)
    assert result.dci.informativeness.value == pytest.approx(0.5, abs=0.06)  # the context, 1, and this one, 0


def test_the_ratio_of_across_to_within_needs_a_readable_concept():
    rng = np.random.default_rng(0)
    y = rng.normal(size=N)
    good = probed(y[:, None], Factor.cont("y", y)).ufr.skills.ratio
    bad = probed(rng.normal(size=(N, 1)), Factor.cont("y", y)).ufr.skills.ratio
    assert good[1, 0, 1] == pytest.approx(1, abs=0.01)
    assert np.isnan(bad[1, 0, 1])


def test_the_matrix_holds_every_pair_of_levels_for_every_view(uniform):
    result = probed(uniform[:, None], Factor.cont("y", uniform), levels=4)
    assert result.ufr.matrices["y|context"].shape == (3, 4, 4)
    assert result.ufr.matrices["context|y"].shape == (3, 3, 3)
    assert result.ufr.levels["context"] == ("0", "1", "2", "3")
    diagonal = result.ufr.matrices["y|context"][1].diagonal().mean()
    assert diagonal == pytest.approx(within(result, "y", "y", "context"))


def test_a_code_that_moves_with_its_context_transfers_with_the_loss_it_causes():
    """z = y + shift: the probe of one side is off by the shift on the other, so 1 - shift^2 / var."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=N)
    context = np.random.default_rng(7).permutation(N) % 2  # as worlds.probed deals it
    result = probed((y + 0.5 * context)[:, None], Factor.cont("y", y))
    assert across(result, "y", "y", "context") == pytest.approx(1 - 0.25, abs=0.03)


def test_two_classes_with_the_same_code_are_one_right_and_one_wrong():
    y = np.random.default_rng(0).permutation(N) % 3
    result = probed(np.minimum(y, 1)[:, None] * 1.0, Factor.cat("y", y))
    assert within(result, "y", "y", "context") == pytest.approx(0.5, abs=0.01)

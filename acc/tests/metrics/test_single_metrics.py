"""DCI, MIG, modularity, SAP, explicitness and ranks on codes whose scores can be worked out by hand."""

import numpy as np
import pytest
import torch

from acc.evaluation.metrics import Factor, dci
from acc.evaluation.metrics.dci import concentration, dci_gam, dci_trees
from acc.evaluation.metrics.explicitness import auc
from acc.evaluation.metrics.information import information, modularity
from acc.evaluation.metrics.prepared import prepare
from acc.evaluation.metrics.sap import sap
from acc.evaluation.metrics.spectrum import spectrum
from acc.tests.metrics import worlds

N = 2000


def ready(z, *factors, groups=None):
    return prepare(np.asarray(z, dtype=float), list(factors), groups, seed=0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_concentration_is_one_for_one_entry_and_zero_for_equal_ones():
    table = np.array([[1.0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
    assert concentration(table) == pytest.approx([1, 0, 1 - np.log(2) / np.log(4), np.nan], nan_ok=True)


def test_a_dimension_that_serves_two_factors_halves_disentanglement(rng):
    a, b = rng.normal(size=N), rng.normal(size=N)
    found = dci_gam(ready(np.column_stack([a + b, a + b]), Factor.cont("a", a), Factor.cont("b", b)))
    assert found.disentanglement.value == pytest.approx(0, abs=0.02)


def test_importance_is_the_share_of_variance_that_a_dimension_explains(rng):
    z = rng.normal(size=(8 * N, 3))
    y = 2 * z[:, 0] + z[:, 1]
    found = dci_gam(ready(z, Factor.cont("y", y), Factor.cont("other", z[:, 2])))
    assert found.importance[:, 0] == pytest.approx([0.8, 0.2, 0], abs=0.06)
    assert found.informative[0] > 0.9


def test_the_additive_model_reads_codes_that_are_not_monotone(rng):
    y = rng.uniform(-1, 1, N)
    found = dci_gam(
        ready(
            np.column_stack([y**2, rng.normal(size=N)]), Factor.cont("y", np.abs(y)), Factor.cat("k", y > 0)
        )
    )
    assert found.informative[0] > 0.9
    assert found.informative[1] < 0.1


def test_spikes_of_zeros_keep_their_information(rng):
    y = rng.random(N) < 0.05
    z = np.where(y, rng.uniform(1, 2, N), 0.0)
    found = dci_gam(
        ready(
            np.column_stack([z, rng.normal(size=N)]), Factor.cat("y", y), Factor.cat("k", rng.random(N) < 0.5)
        )
    )
    assert found.informative[0] > 0.95


def test_trees_agree_on_a_factored_code_and_name_themselves():
    world = worlds.factored(800, classes=1, reals=1)
    given = prepare(world.z, world.factors, world.groups, seed=0)
    trees, gam = dci_trees(given), dci_gam(given)
    assert trees.estimator == "dci_trees"
    assert trees.disentanglement.detail == {"estimator": "dci_trees"}
    assert trees.group_disentanglement.value == pytest.approx(gam.group_disentanglement.value, abs=0.1)
    assert np.corrcoef(trees.importance.ravel(), gam.importance.ravel())[0, 1] > 0.8


def test_the_suite_adds_trees_on_request():
    table = worlds.factored(200, classes=1, reals=1).measure(trees=True).headline()
    assert table["dci_trees_completeness_groups"].value > 0.8


def test_too_many_dimensions_for_the_additive_model_are_named(monkeypatch):
    monkeypatch.setattr(dci, "MAX_DIMENSIONS", 3)
    found = worlds.perfect(200).measure().dci
    assert found.disentanglement.reason == "5 active dimensions; the additive model takes at most 3"


def test_miller_madow_removes_most_of_the_bias_of_unrelated_latents(rng):
    given = ready(rng.normal(size=(400, 6)), Factor.cat("y", rng.integers(0, 8, 400)))
    found = information(given)
    assert found.table.mean() > 0.1
    assert found.corrected.mean() < 0.4 * found.table.mean()


def test_mig_of_a_noisy_binary_code_is_its_information(rng):
    y = rng.permutation(8 * N) % 2
    heard = np.where(rng.random(8 * N) < 0.1, 1 - y, y)
    found = information(ready(np.column_stack([heard, rng.normal(size=8 * N)]), Factor.cat("y", y)))
    expected = 1 + 0.1 * np.log2(0.1) + 0.9 * np.log2(0.9)
    assert found.mig.value == pytest.approx(expected, abs=0.02)


def test_the_bins_cost_a_perfect_real_code_some_mig(rng):
    y = rng.uniform(size=N)
    found = information(ready(np.column_stack([y, rng.normal(size=N)]), Factor.cont("y", y)))
    assert 0.8 < found.mig.value < 0.99


def test_modularity_gives_noise_three_quarters_and_says_that_it_is_not_corrected():
    found = information(prepare(worlds.factored().shuffled().z, worlds.factored().factors, seed=0))
    assert found.modularity.value == pytest.approx(0.75, abs=0.15)
    assert "not corrected" in found.modularity.detail["note"]
    assert modularity(np.array([[1.0, 0, 0], [1, 1, 1], [0, 0, 0]])) == pytest.approx([1, 0, 0])


def test_sap_is_blind_to_codes_that_are_not_monotone(rng):
    y = rng.uniform(-1, 1, 2 * N)
    found = sap(
        ready(np.column_stack([y**2, rng.normal(size=2 * N)]), Factor.cont("y", y), Factor.cat("k", y > 0))
    )
    assert found.sap.value == pytest.approx(0, abs=0.03)


def test_auc_counts_ties_half():
    score = torch.tensor([[0.0], [0.0], [1.0], [0.0]])
    positive = torch.tensor([[True], [False], [True], [False]])
    assert auc(score, positive).tolist() == [0.75]
    assert auc(torch.zeros(4, 1), positive).tolist() == [0.5]


def test_ranks_count_the_dimensions_used(rng):
    z = rng.normal(size=(N, 6))
    z[:, 4:] = 0
    found = spectrum(ready(z, groups={"full": (0, 4), "dead": (4, 6)}))
    assert found.effective_rank.value == pytest.approx(4, abs=0.05)
    assert found.participation_ratio.value == pytest.approx(4, abs=0.05)
    assert found.group_effective_rank["full"].value == pytest.approx(4, abs=0.05)
    assert found.group_effective_rank["dead"].reason == "all dimensions are constant"


def test_raw_and_standardised_ranks_differ_when_scales_do(rng):
    found = spectrum(ready(rng.normal(size=(N, 3)) * [1.0, 0.2, 0.05]))
    assert found.participation_ratio.value < 1.2
    assert found.participation_ratio_standardised.value == pytest.approx(3, abs=0.05)

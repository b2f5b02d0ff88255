"""Input that is poor but legal is scored with reasons; input that is wrong is refused with a sentence."""

import json
from typing import Any

import numpy as np
import pytest

from acc.errors import InvalidInput
from acc.evaluation.metrics import Factor, Groups, suite
from acc.tests.metrics import worlds
from acc.tests.metrics.worlds import World

QUIET: dict[str, Any] = {"seed": 0, "permutations": 2, "resamples": 3}


def test_a_concept_with_one_value_is_dead_and_left_out_of_every_mean():
    world = worlds.perfect(800)
    factors = [Factor.cat("class0", np.zeros(800, dtype=int)), *world.factors[1:]]
    result = World(world.z, factors, world.groups, None).measure()
    assert result.dead == {"class0": "'class0' has one value, 0, in all 800 samples"}
    assert np.isnan(result.ufr.skills.within[:, 0]).all()
    assert np.isnan(result.dci.importance[:, 0]).all()
    assert np.isnan(result.information.table[:, 0]).all()
    assert np.isnan(result.sap.table[:, 0]).all()
    assert np.isnan(result.ufr.unified["class0"].value)
    assert "one value" in result.ufr.unified["class0"].reason
    assert result.headline()["mig"].value == pytest.approx(1, abs=0.05)


def test_without_groups_dimension_metrics_work_and_group_ones_say_why_not():
    world = worlds.perfect(800)
    table = World(world.z, world.factors, None, None).measure().headline()
    without = {name for name, value in table.items() if not value.defined}
    assert without == {
        "ufr", "unified", "factored", "ufr_matched", "parallelism_own", "dci_gam_disentanglement_groups",
        "dci_gam_completeness_groups", "mig_groups", "mig_corrected_groups", "sap_groups", "modularity_groups",
        "explicitness_own",
    }  # fmt: skip
    assert all("no factor groups" in table[name].reason for name in without)
    assert table["transfer_all_dimensions"].value > 0.95


def test_a_context_level_with_too_few_samples_is_an_empty_cell_with_its_reason():
    rng = np.random.default_rng(0)
    y = rng.normal(size=500)
    context = np.repeat([0, 1, 2], [300, 185, 15])
    z = np.column_stack([y, context])
    groups = {"y": (0, 1), "context": (1, 2)}
    result = suite(z, [Factor.cont("y", y), Factor.cat("context", context)], groups, **QUIET)
    matrix = result.ufr.matrices["y|context"]
    assert np.isnan(matrix[:, 2]).all()
    assert np.isnan(matrix[:, :, 2]).all()
    assert not np.isnan(matrix[:, :2, :2]).any()
    assert result.ufr.empty["y|context"] == {"2": "context = 2 has 15 samples; 20 are needed"}


def test_a_level_where_the_concept_does_not_vary_is_empty():
    rng = np.random.default_rng(0)
    side = rng.permutation(600) % 3
    real = np.where(side == 2, 0.5, rng.normal(size=600))
    label = np.where(side == 1, 0, rng.permutation(600) % 2)
    factors = [Factor.cont("real", real), Factor.cat("label", label), Factor.cat("side", side)]
    result = suite(
        rng.normal(size=(600, 3)), factors, {"real": (0, 1), "label": (1, 2), "side": (2, 3)}, **QUIET
    )
    assert result.ufr.empty["real|side"] == {"2": "'real' does not vary at side = 2"}
    assert "fewer than two classes of 'label' have 3 samples" in result.ufr.empty["label|side"]["1"]


def test_classes_rarer_than_three_are_not_scored():
    rng = np.random.default_rng(0)
    label = rng.permutation(600) % 2
    label[:2] = 2
    side = np.tile([0, 1], 300)
    z = np.column_stack([label, side]) + 0.01 * rng.normal(size=(600, 2))
    result = suite(
        z, [Factor.cat("label", label), Factor.cat("side", side)], {"label": (0, 1), "side": (1, 2)}, **QUIET
    )
    assert worlds.within(result, "label", "label", "side") == pytest.approx(1, abs=0.01)


def test_classes_that_meet_no_common_context_leave_empty_cells():
    n = 400
    side = np.repeat([0, 1], n // 2)
    label = np.where(side == 0, np.arange(n) % 2, 2 + np.arange(n) % 2)
    z = np.column_stack([label, side]).astype(float)
    result = suite(
        z, [Factor.cat("label", label), Factor.cat("side", side)], {"label": (0, 1), "side": (1, 2)}, **QUIET
    )
    matrix = result.ufr.matrices["label|side"]
    assert np.isnan(matrix[:, 0, 1]).all()
    assert worlds.within(result, "label", "label", "side") == pytest.approx(1, abs=0.01)
    assert np.isnan(result.ufr.unified["label"].value)


@pytest.mark.parametrize("n", [2, 5, 19, 25, 60])
def test_few_samples_never_raise(n):
    world = worlds.perfect(n)
    result = world.measure(permutations=2, resamples=3)
    assert json.dumps(result.as_dict(), allow_nan=False)
    if n < 20:
        assert "too few" in result.ufr.value.reason
        assert "too few" in result.headline()["sap"].reason


def test_one_factor_or_none_is_not_enough_for_contexts():
    z = np.random.default_rng(0).normal(size=(100, 3))
    one = suite(z, [Factor.cat("a", np.arange(100) % 3)], {"a": (0, 1), "b": (1, 3)}, **QUIET)
    assert "at least two factors" in one.ufr.value.reason
    assert one.information.mig.defined
    assert "two factors" in one.information.modularity.reason
    none = suite(z, [], {"a": (0, 1)}, **QUIET)
    assert "at least two factors" in none.ufr.value.reason
    assert none.headline()["mig"].reason == "no factor varies"
    assert none.spectrum.effective_rank.value > 2


def test_every_undefined_value_has_a_reason():
    z = np.random.default_rng(0).normal(size=(100, 3))
    for result in (
        suite(z, [], None, **QUIET),
        suite(z, [Factor.cat("a", np.arange(100) % 3)], None, **QUIET),
        worlds.perfect(10).measure(),
        worlds.perfect(100).with_latents(np.zeros((100, 5))).measure(),
    ):
        for name, value in result.headline().items():
            assert value.defined or value.reason, name


def test_concepts_that_nobody_declares_are_left_out_of_ufr_and_say_so():
    world = worlds.perfect(800)
    result = World(world.z, world.factors, world.groups, {"class0": "class0", "real1": "real1"}).measure()
    assert result.ufr.value.value == pytest.approx(1, abs=0.03)
    assert result.ufr.unified["class1"].reason == "no group is declared to hold 'class1'"


def test_more_concepts_than_groups_cannot_all_be_matched():
    world = worlds.perfect(800)
    groups = Groups.ranges({"first": (0, 1), "second": (1, 2), "third": (2, 5)})
    result = World(world.z, world.factors, groups, None).measure(match=True)
    homeless = [name for name, home in result.ufr.own.items() if home is None]
    assert len(homeless) == 2
    assert all(result.ufr.unified[name].value == 0 for name in homeless)
    assert "fewer groups than concepts" in result.ufr.unified[homeless[0]].reason


@pytest.mark.parametrize(
    ("change", "field", "sentence"),
    [
        ({"latents": np.zeros(5)}, "latents", "(samples >= 2, dimensions)"),
        ({"latents": np.zeros((1, 5))}, "latents", "(1, 5)"),
        ({"factors": [Factor.cat("a", [1, 2])]}, "factors", "'a' has 2 values for 100 latents"),
        ({"factors": [Factor.cat("a", np.arange(100))] * 2}, "factors", "must differ"),
        ({"groups": {"a": (0, 9)}}, "groups", "reaches dimension 8; the latent has 0 to 4"),
        ({"groups": {"a": (0, 3), "b": (2, 4)}}, "groups", "dimension 2 is in 'a' and in 'b'"),
        ({"groups": {"a": (2, 2)}}, "groups", "no dimensions"),
        ({"groups": {"*": (0, 2)}}, "groups", "another name"),
        ({"groups": {"a": (0, 2)}, "own": {"nose": "a"}}, "own", "'nose' is not a factor; there are: a"),
        (
            {"groups": {"a": (0, 2)}, "own": {"a": "nose"}},
            "own",
            "'nose', declared to hold 'a', is none of the groups",
        ),
    ],
)
def test_wrong_input_is_refused_by_name(change, field, sentence):
    given: dict[str, Any] = {
        "latents": np.zeros((100, 5)),
        "factors": [Factor.cat("a", np.arange(100) % 3)],
        "groups": None,
        "own": None,
    }
    with pytest.raises(InvalidInput) as refused:
        suite(*(given | change).values(), **QUIET)
    assert sentence in refused.value.fields[field][0]


@pytest.mark.parametrize(
    "make", [lambda: Factor.cont("y", [0.0, np.nan]), lambda: Factor.cat("y", np.zeros((2, 2)))]
)
def test_factors_must_be_columns_of_finite_numbers(make):
    with pytest.raises(InvalidInput, match="factor 'y'"):
        make()


def test_class_labels_may_be_words():
    rng = np.random.default_rng(0)
    animal = np.array(["owl", "fox", "elk"])[rng.permutation(300) % 3]
    side = rng.permutation(300) % 2
    z = np.column_stack([(animal == "owl") * 1.0 + (animal == "fox") * 2.0, side])
    groups = {"animal": (0, 1), "side": (1, 2)}
    result = suite(z, [Factor.cat("animal", animal), Factor.cat("side", side)], groups, **QUIET)
    assert result.ufr.levels["animal"] == ("elk", "fox", "owl")
    assert result.ufr.value.value == pytest.approx(1, abs=0.02)

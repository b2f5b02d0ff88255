"""The result object: complete, JSON-able, with a reason beside every None."""

import json

import numpy as np
import pytest

from acc.evaluation.metrics import Factor
from acc.evaluation.metrics.values import jsonable, mean_of_defined
from acc.tests.metrics import worlds
from acc.tests.metrics.worlds import World


def test_as_dict_survives_json_and_keeps_every_number():
    result = worlds.mixed(0.2, 400, classes=2, reals=1).measure(permutations=2, resamples=5)
    found = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert found["headline"]["ufr"]["value"] == result.ufr.value.value
    assert found["ufr"]["skills"]["within"][0][0][0] is None
    assert found["ufr"]["concepts"] == ["class0", "class1", "real0"]
    assert found["leakage"]["groups"] == ["class0", "class1", "real0", "free"]
    assert np.array(found["dci"]["importance"]).shape == (13, 3)
    assert found["factors"] == {"class0": "cat", "class1": "cat", "real0": "cont"}


def test_none_always_comes_with_a_reason():
    world = worlds.perfect(200)
    factors = [Factor.cat("class0", np.zeros(200)), *world.factors[1:]]
    result = World(world.z, factors, None, None).measure()
    for value in values_in(result.as_dict()):
        assert value["value"] is not None or value["reason"]


def values_in(tree):
    if isinstance(tree, dict):
        if {"value", "reason", "chance"} <= tree.keys():
            yield tree
        for branch in tree.values():
            yield from values_in(branch)


def test_the_leakage_table_shows_homes_and_leaks():
    leakage = worlds.perfect(800).measure().leakage
    assert leakage.within == pytest.approx(np.eye(5), abs=0.1)
    home = np.eye(5, dtype=bool)
    assert leakage.held[~home] == pytest.approx(np.zeros(20), abs=0.1)
    assert leakage.own["real1"] == "real1"


def test_settings_that_matter_stand_with_the_value():
    table = worlds.perfect(400).measure().headline()
    assert table["mig"].detail == {"bins": 20, "n": 400, "estimator": "plug-in"}
    assert table["mig_corrected"].detail["estimator"] == "Miller-Madow"
    assert table["dci_gam_completeness"].detail["estimator"] == "dci_gam"
    assert "not corrected for chance" in table["modularity"].detail["note"]
    assert table["explicitness"].chance == 0.5


def test_infinities_and_nan_become_none():
    assert jsonable({"a": np.float64("nan"), "b": [np.inf, 1.5], "c": np.array([1, 2])}) == {
        "a": None,
        "b": [None, 1.5],
        "c": [1, 2],
    }


def test_means_skip_what_is_undefined():
    table = np.array([[1.0, np.nan], [3.0, np.nan]])
    assert mean_of_defined(table, axis=0)[0] == 2
    assert np.isnan(mean_of_defined(table, axis=0)[1])

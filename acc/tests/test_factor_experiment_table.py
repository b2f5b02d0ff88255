"""The table of the factor experiment: a figure or the reason in every cell, mean and spread, gain and cost."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from acc.api import EvalOutcome

FILE = Path(__file__).resolve().parents[2] / "plugins" / "recipes" / "factor_experiment.py"


@pytest.fixture(scope="module")
def recipe() -> Any:
    spec = importlib.util.spec_from_file_location("factor_experiment", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arm(seed: int, branch: str, **figures: Any) -> dict[str, Any]:
    return {"seed": seed, "branch": branch, "steps": 250, "images": 16000, "seconds": 5.0, **figures}


def table(recipe: Any, seeds: int, **lost: Any) -> list[dict[str, Any]]:
    """Return the rows of some seeds: the curriculum gains .2 and .4 by turns, and loses ``lost``."""
    rows = []
    for seed in range(seeds):
        gain = 0.2 if seed % 2 == 0 else 0.4
        only = arm(seed, "mnist_only", ufr=0.2, **{"digit/accuracy": 0.9})
        more = arm(seed, "with_curriculum", ufr=0.2 + gain, **{"digit/accuracy": 0.8, **lost})
        more |= {"images": 48000, "seconds": 9.0}
        rows += [only, more, {"seed": seed, "branch": "difference", **recipe.difference(only, more)}]
    return [*rows, *recipe.over_seeds(rows)]


def test_a_metric_without_a_value_shows_why_and_others_are_left_out(recipe: Any) -> None:
    metrics = {"ufr": 0.5, "digit/accuracy": None, "reconstruction/psnr": None, "kl/loss": 1.0}
    why = "no rows are held out"
    found = recipe.shown(EvalOutcome(1, 1, metrics, {"digit/accuracy": why}))
    assert found == {"ufr": 0.5, "digit/accuracy": why, "reconstruction/psnr": "not measured"}


def test_mean_and_spread_over_seeds_stand_below_those_of_each_branch_and_of_the_difference(
    recipe: Any,
) -> None:
    rows = {(row["seed"], row["branch"]): row for row in table(recipe, 2)}
    assert rows["mean of 2", "difference"]["ufr"] == pytest.approx(0.3)
    assert rows["spread of 2", "difference"]["ufr"] == pytest.approx(0.02**0.5)
    assert rows["mean of 2", "with_curriculum"]["digit/accuracy"] == pytest.approx(0.8)
    assert rows["spread of 2", "mnist_only"]["ufr"] == 0
    assert list(rows["mean of 2", "mnist_only"]) == list(rows[0, "mnist_only"]), "the columns are the same"


def test_one_seed_has_no_mean_and_says_so(recipe: Any) -> None:
    rows = table(recipe, 1)
    assert [row["seed"] for row in rows] == [0, 0, 0]
    assert "one seed, so no spread is known" in recipe.summary(rows)[0]


def test_what_the_curriculum_costs_is_said_in_steps_images_time_and_quality(recipe: Any) -> None:
    gain, cost = recipe.summary(table(recipe, 2))
    assert "ufr +0.300 \N{PLUS-MINUS SIGN} 0.141" in gain
    assert "both arms took 250 steps; 48,000 images in 9.0 s, and 16,000 images in 5.0 s without it" in cost
    assert "digit/accuracy -0.100 \N{PLUS-MINUS SIGN} 0.000" in cost


def test_a_figure_that_one_arm_lacks_leaves_its_reason_in_every_row_that_needs_it(recipe: Any) -> None:
    why = "came out as nan, which is no finite number"
    rows = table(recipe, 2, **{"digit/accuracy": why})
    assert [row["digit/accuracy"] for row in rows if row["branch"] == "difference"] == [why] * 4
    assert f"digit/accuracy {why}" in recipe.summary(rows)[1]

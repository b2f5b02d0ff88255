"""The factor experiment is one definition: what a site does and what a notebook does have the same plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import acc
from acc.errors import InvalidInput
from acc.plugins import PluginRegistry
from acc.recipes import RecipeError, StudyOutcome
from acc.studies import Study

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"


@pytest.fixture(scope="module")
def registry() -> PluginRegistry:
    found = PluginRegistry(PLUGINS)
    found.scan()
    return found


@pytest.fixture(scope="module")
def plan(registry: PluginRegistry, tmp_path_factory: pytest.TempPathFactory) -> Study:
    experiment: Any = registry.classes("recipe")["FactorExperiment"].cls()
    asked = experiment.local(registry.classes("generator"))
    run = acc.study(**asked, folder=tmp_path_factory.mktemp("factors"), run=False)
    made: Study = run.study
    return made


def test_its_arms_differ_in_two_tasks_and_in_nothing_else(plan: Study) -> None:
    assert [arm.name for arm in plan.arms] == ["digits only", "curriculum", "shuffled control"]
    for arm, data in (("curriculum", {"thickness", "slant"}), ("shuffled control", {"shuffled"})):
        changes = plan.arm(arm).changes
        assert changes["tasks"].keys() == {"thickness", "slant"}
        assert {task["dataset"] for task in changes["tasks"].values()} == data
        assert changes.keys() <= {"tasks", "plugins", "datasets"}
        assert plan.arm(arm).unsaid() == []
    assert set(plan.settings["tasks"]) == {"reconstruction", "kl", "digit"}


def test_its_ten_seeds_can_decide_all_of_its_claims(plan: Study) -> None:
    assert len(plan.seeds) == 10 >= plan.fewest_seeds() == 9
    assert plan.warnings() == []
    assert [outcome.name for outcome in plan.outcomes] == [
        "ufr",
        "matched ufr",
        "cleanness",
        "accuracy",
        "psnr",
    ]


def test_leakage_is_a_parameter_of_all_arms_alike(registry: PluginRegistry) -> None:
    experiment: Any = registry.classes("recipe")["FactorExperiment"].cls(leakage=True)
    parts = dict.fromkeys(("digits", "thickness", "slant", "shuffled"), "set")
    for arm in ("digits only", "curriculum", "shuffled control"):
        assert experiment.tasks(arm, parts)["leakage"]["weight"] == 0.05


def test_a_dataset_of_a_site_is_refused_where_there_is_none(registry: PluginRegistry) -> None:
    experiment: Any = registry.classes("recipe")["FactorExperiment"].cls(dataset="mnist")
    with pytest.raises(InvalidInput, match="dataset: 'mnist' is a dataset of a site"):
        experiment.local(registry.classes("generator"))


def test_an_outcome_finds_its_verdicts_by_claim() -> None:
    found = StudyOutcome("it", verdicts=({"claim": "a > b on ufr", "decision": "decided for"},))
    assert found.verdict("a > b on ufr")["decision"] == "decided for"
    with pytest.raises(RecipeError, match="'a > c on ufr' is no claim of study it; its claims are: a > b on"):
        found.verdict("a > c on ufr")

"""What may be an outcome of a study in a notebook, and what a damaged file of one says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acc.api import Metric, Param
from acc.errors import InvalidInput
from acc.metrics import Representation
from acc.studies import Measured, Result, Study, report
from acc.tests.test_study_runs import study

OTHER = """
class Width(Metric):
    metrics = {"wide": True, "none": None}
    unit = 1.0

    def measure(self, given):
        return {"wide": 1.0, "none": "there is none"}
"""


class Width(Metric):
    """How wide latents are, in a unit."""

    metrics = {"wide": True, "none": None}
    unit = Param(1.0)

    def measure(self, given: Representation) -> dict[str, Any]:
        return {"wide": float(given.latents.std()) / self.unit, "none": "there is none"}


def test_a_metric_of_a_class_and_of_a_plugin_are_outcomes(tmp_path: Path) -> None:
    outcomes = [
        {"name": "width", "metric": "Width.wide"},
        {"name": "half", "metric": "Width.wide", "options": {"params": {"Width.unit": 2.0}}},
        "Width.none",
        {"name": "score", "metric": "FactorVAEScore.score"},
        "psnr",
    ]
    asked: dict[str, Any] = {"outcomes": outcomes, "seeds": 1, "claims": "fast > slow on width", "workers": 0}
    run = study(tmp_path, metrics=[Width], **asked)
    for result in run.results:
        assert result.status == "succeeded", result.reason
        values = result.values
        assert values["width"].value == pytest.approx(2 * (values["half"].value or 0))
        assert values["width"].sample
        assert values["Width.none"].value is None
        assert values["Width.none"].reason == "there is none"
        assert values["score"].value is not None or values["score"].reason
        assert values["psnr"].value is not None
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").iterdir()}
    study(tmp_path, metrics=[Width], **asked)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "results").iterdir()} == stamps

    typed: dict[str, Any] = {"__name__": "cell", "Metric": Metric}
    exec(OTHER, typed)  # as in a cell of a notebook: no file has its source
    asked["outcomes"] = [outcomes[0]]
    again = study(tmp_path, metrics=[typed["Width"]], **asked)
    assert again.results[0].values["width"].value == 1, "another version is measured anew"


@pytest.mark.parametrize(
    ("metric", "options", "said"),
    [
        ("Widht.wide", {}, "Widht"),
        ("Width.broad", {}, "'Width.broad' is no number of Width; there are: Width.wide, Width.none"),
        ("Width.wide", {"params": {"Width.size": 1}}, "size"),
    ],
    ids=["class", "number", "parameter"],
)
def test_an_outcome_that_no_metric_has_is_refused_before_anything_runs(
    tmp_path: Path, metric: str, options: dict[str, Any], said: str
) -> None:
    asked = {"name": "width", "metric": metric, "options": options}
    with pytest.raises(InvalidInput, match=said) as error:
        study(tmp_path, outcomes=[asked], claims=(), metrics=[Width])
    assert list(error.value.fields) == ["outcomes"]
    assert not list((tmp_path / "results").glob("*"))


@pytest.mark.parametrize(
    "damage", [b'{"arm": "sl', b"\xff\xfe", b"{}", b""], ids=["cut", "bytes", "other", "empty"]
)
def test_a_damaged_result_is_named_with_what_to_do_and_costs_no_other(tmp_path: Path, damage: bytes) -> None:
    run = study(tmp_path, seeds=1, workers=0)
    path = run.path(("slow", 0))
    whole = path.read_bytes()
    stamps = {each: each.stat().st_mtime_ns for each in (tmp_path / "results").iterdir() if each != path}
    path.write_bytes(damage)
    with pytest.raises(InvalidInput) as error:
        study(tmp_path, seeds=2, workers=0)
    said = str(error.value)
    assert path.name in said
    assert "the result of 'slow', seed 0, is damaged" in said
    assert "delete it and run the study again, which does that seed once more" in said
    assert "\n" not in said
    assert path.read_bytes() == damage, "nothing is done to it without a word"
    assert {
        each: each.stat().st_mtime_ns for each in (tmp_path / "results").iterdir() if each != path
    } == stamps
    path.unlink()
    assert [each.status for each in study(tmp_path, seeds=1, workers=0).results] == ["succeeded"] * 2
    assert json.loads(path.read_text())["values"] == json.loads(whole)["values"], "the same to the bit"


def test_a_result_in_the_place_of_another_is_damaged(tmp_path: Path) -> None:
    run = study(tmp_path, seeds=1, workers=0)
    run.path(("slow", 0)).write_bytes(run.path(("fast", 0)).read_bytes())
    with pytest.raises(InvalidInput, match=r"is damaged \(it is of 'fast', seed 0\)"):
        _ = study(tmp_path, seeds=1, workers=0).results


def test_a_damaged_plan_is_named(tmp_path: Path) -> None:
    study(tmp_path, seeds=1, workers=0)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(InvalidInput, match=r"study\.json' is damaged .* put back a copy of it"):
        study(tmp_path, seeds=1, workers=0)


def test_noise_of_images_stands_apart_from_the_spread_of_seeds(tmp_path: Path) -> None:
    plan: Study = study(tmp_path, seeds=3, run=False).study
    results = [
        Result(
            arm="slow",
            seed=seed,
            status="succeeded",
            values={"psnr": Measured(value=value, low=value - half, high=value + half)},
        )
        for seed, (value, half) in enumerate(((10.0, 1.96), (14.0, 1.96 * 2), (12.0, 1.96 * 3)))
    ]
    row = next(
        each for each in report.table(plan, results) if (each["outcome"], each["arm"]) == ("psnr", "slow")
    )
    assert row["spread"] == pytest.approx(2)
    assert row["noise"] == pytest.approx(((1 + 4 + 9) / 3) ** 0.5)
    assert report.noise(results, "accuracy") is None
    told = report.html(plan, results)
    assert "spread of seeds" in told
    assert "of images alone" in told
    assert "2.16" in told

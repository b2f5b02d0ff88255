"""The notebook page does what it says: its blocks run as they stand, one after the other."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acc.api import InvalidInput, TrainRun, load_checkpoint, train
from acc.tests import helpers

PAGE = helpers.NOTEBOOK_PAGE
pytestmark = pytest.mark.long(8)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    names: dict[str, Any] = {}
    with contextlib.chdir(tmp_path_factory.mktemp("page")):
        for block in helpers.blocks(PAGE):
            exec(compile(block, str(PAGE), "exec"), names)
            names.setdefault("first", names["run"])
    return {**names, "run": names["first"]}


def test_the_first_block_has_ten_statements_or_fewer() -> None:
    lines = [
        line for line in helpers.blocks(PAGE)[0].splitlines() if line.strip() and not line.startswith(" ")
    ]
    assert len(lines) <= 10


def test_nine_digits_in_ten_are_read_from_their_own_place(page: dict[str, Any]) -> None:
    run: TrainRun = page["run"]
    accuracy = next(metric for metric in run.evaluate().metrics if metric.name == "accuracy")
    assert accuracy.value is not None
    assert accuracy.value > 0.9
    assert run.result.status == "completed"


def test_the_run_has_model_history_and_a_checkpoint_that_can_be_read(
    page: dict[str, Any], tmp_path: Path
) -> None:
    run: TrainRun = page["run"]
    assert not run.model.training
    assert {"total", "raw/classification", "weighted/kldivergence", "lr"} <= set(run.history)
    assert all(len(values) == 300 for values in run.history.values())
    assert np.isfinite(run.history["total"]).all()
    sha256 = run.save(tmp_path / "digits.safetensors")
    assert load_checkpoint(tmp_path / "digits.safetensors", sha256).header.job_step == 300
    assert page["output"].attention.shape == (8, 2, 8, 8)
    assert page["more"].result.global_step == 320


def test_the_page_looks_into_the_checkpoint_as_it_says(page: dict[str, Any]) -> None:
    assert page["digit"].images.shape == (5, 9, 1, 8, 8)
    assert page["digit"].values.shape == (9,)
    assert len(page["lowest"].indices) == 20
    assert page["evaluator"].attention().maps.shape == (8, 2, 8, 8)
    headline = page["scores"].suite.headline()
    assert headline["explicitness"].value > 0.9
    assert np.isnan(headline["ufr"].value)
    assert headline["ufr"].reason


def test_the_page_measures_a_task_without_a_loss(page: dict[str, Any]) -> None:
    assert page["length"].value > 0
    assert page["length"].grade in {"good", "moderate", "poor"}
    assert "raw/latentlength" not in page["watched"].history


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"steps": 0}, "steps"),
        ({"tasks": ["NoTask"]}, "task_class"),
        ({"tasks": [{"task_class": "KLDivergenceTask", "weight": -1}]}, "tasks.0.weight"),
        ({"tasks": [{"weight": 1}]}, "tasks.0.task_class"),
        ({"model": "NoModel"}, "architecture"),
        ({"model": {"architecture": "ConvVAE", "latent_dim": 0}}, "model.latent_dim"),
        ({"factors": {"digit": 0}}, "model.factor_groups.0.end"),
        ({"device": "cuda:77"}, "device"),
        ({"data": {}}, "data"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_word_is_refused_by_field(options: dict[str, Any], field: str) -> None:
    fields: dict[str, Any] = {
        "data": helpers.blobs(20),
        "tasks": ["ReconstructionTask"],
        "steps": 1,
        **options,
    }
    with pytest.raises(InvalidInput) as refused:
        train(fields.pop("data"), **fields)
    assert field in refused.value.fields

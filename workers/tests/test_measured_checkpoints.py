"""What the engine measures of a real checkpoint is kept: rows, sprites and the matrix."""

from __future__ import annotations

import functools
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from acc.evaluation import evaluate_checkpoint
from acc.results import EvalResult
from acc.specs import EVAL_PARTS, EvalSpec
from acc.tests import evaluated, helpers
from accsite import blobs
from accsite.apps.evaluation import services
from accsite.apps.evaluation.models import Evaluation
from accsite.apps.evaluation.tests.test_record import evaluation_job
from accsite.apps.training.tests import rows
from workers.kinds.evaluate import cell_images

SUITE = list(EVAL_PARTS)


@functools.cache
def measured() -> EvalResult:
    """Return everything of a model that has learnt a little."""
    spec = EvalSpec(suite=EVAL_PARTS, rows="all", images=4)
    made = evaluated.trained(helpers.model_spec("FactorSlotAutoencoder"), steps=20)
    return evaluate_checkpoint(made, {"data": evaluated.data()}, helpers.shipped_tasks(), spec, device="cpu")


@pytest.fixture
def kept(db: None) -> Evaluation:
    job = evaluation_job(rows.make_branch(None), spec={"suite": SUITE, "rows": "all", "images": 4})
    cells = cell_images(measured(), {"data": evaluated.data()})
    return services.record(job.pk, 1, measured(), cells=cells)


def pixels(artifact: Any) -> np.ndarray:
    stored = blobs.open_local(artifact.file, artifact.sha256)
    return np.asarray(Image.open(io.BytesIO(stored.read_bytes())))


def test_each_part_is_kept_with_a_key(kept: Evaluation) -> None:
    assert list(kept.parts.values_list("name", flat=True)) == SUITE
    assert len({part.key for part in kept.parts.all()}) == len(SUITE)
    kinds = set(kept.artifacts.values_list("kind", flat=True))
    assert kinds == {"reconstructions", "traversals", "sort", "attention", "ufr", "ufr_images"}


def test_headline_numbers_concepts_and_groups_are_rows(kept: Evaluation) -> None:
    factoring = measured().factoring
    assert factoring is not None
    row = kept.metrics.get(task_key="", name="ufr", concept="")
    assert row.value is not None
    assert row.value == pytest.approx(factoring.ufr)
    assert row.low is not None
    assert row.high is not None
    assert row.low <= row.value <= row.high
    names = set(kept.metrics.filter(task_key="").values_list("name", flat=True))
    wanted = {"mig", "mig_groups", "sap", "modularity", "explicitness", "parallelism", "effective_rank"}
    assert wanted | {"dci_gam_disentanglement", "dci_gam_completeness", "dci_gam_informativeness"} <= names
    leaks = kept.metrics.filter(name="skill_within").values_list("concept", "group")
    assert {("digit", "size"), ("size", "digit")} <= set(leaks)
    accuracy = kept.metrics.get(name="accuracy")
    assert (accuracy.moderate, accuracy.good) == next(
        metric.thresholds for metric in measured().metrics if metric.name == "accuracy"
    )


def test_a_traversal_is_one_sprite_of_seeds_and_steps(kept: Evaluation) -> None:
    first = measured().traversals[0]
    artifact = kept.artifacts.get(kind="traversals", name=first.axis.name)
    seeds, steps = artifact.meta["seeds"], artifact.meta["steps"]
    width, height = artifact.meta["tile"]
    grid = pixels(artifact).reshape(seeds, height, steps + 1, width).transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(grid[:, 0], first.seeds[:, 0])
    np.testing.assert_array_equal(grid[:, 1:], first.images[:, :, 0])
    assert artifact.meta["values"] == first.values.tolist()


def test_sorted_images_stand_with_their_targets(kept: Evaluation) -> None:
    first = measured().sorts[0]
    assert first.lowest is not None
    artifact = kept.artifacts.get(kind="sort", name=first.axis.name)
    assert artifact.meta["lowest"]["indices"] == list(first.lowest.indices)
    assert artifact.meta["lowest"]["targets"]["digit"] == first.lowest.targets["digit"].tolist()
    assert pixels(artifact).shape[:2] == (artifact.meta["height"], artifact.meta["width"])


def test_the_matrix_and_the_images_of_its_cells_are_files(kept: Evaluation) -> None:
    matrix = kept.artifacts.get(kind="ufr")
    stored = json.loads(blobs.open_local(matrix.file, matrix.sha256).read_bytes())
    shown = kept.artifacts.get(kind="ufr_images")
    used = {row for levels in stored["cells"].values() for each in levels.values() for row in each}
    assert used == set(shown.meta["indices"])
    width, height = shown.meta["tile"]
    at = 3
    left, top = at % shown.meta["columns"] * width, at // shown.meta["columns"] * height
    image = pixels(shown)[top : top + height, left : left + width]
    np.testing.assert_array_equal(image, evaluated.data().images[shown.meta["indices"][at], 0])


def test_the_same_question_is_answered_by_what_is_kept(kept: Evaluation) -> None:
    assert kept.checkpoint is not None
    asked: dict[str, Any] = {"suite": ["ufr", "sort"], "rows": "all", "images": 4}
    assert services.ask(actor=None, checkpoint=kept.checkpoint, eval=asked) == kept
    other = services.ask(
        actor=None, checkpoint=kept.checkpoint, eval={**asked, "suite": ["attention"], "seed": 1}
    )
    assert not isinstance(other, Evaluation)
    again = services.ask(
        actor=None, checkpoint=kept.checkpoint, eval={**asked, "suite": ["attention"], "seed": 1}
    )
    assert again == other

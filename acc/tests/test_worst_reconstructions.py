"""Of all images that are held out those are shown that come out worst, and it is said of how many."""

from __future__ import annotations

import numpy as np
import pytest

from acc.evaluation import encoding
from acc.evaluation.evaluator import FactoringEvaluator
from acc.tests import evaluated


@pytest.fixture(scope="module")
def evaluator() -> FactoringEvaluator:
    return evaluated.evaluator(rows="held_out")


def errors(evaluator: FactoringEvaluator) -> dict[int, float]:
    """Return the squared error of every image that is held out, of the pixels as they are shown."""
    held_out = evaluator._split(evaluated_key(evaluator)).held_out
    [grid] = evaluator.reconstructions(count=len(held_out))
    apart = (grid.inputs.astype(float) - grid.outputs.astype(float)) ** 2
    return dict(zip(grid.indices, apart.mean(axis=(1, 2, 3)).tolist(), strict=True))


def evaluated_key(evaluator: FactoringEvaluator) -> str:
    return evaluator.job.tasks[0].dataset


def test_no_other_image_is_worse(evaluator: FactoringEvaluator) -> None:
    by_row = errors(evaluator)
    [grid] = evaluator.reconstructions(count=5, shown="worst")
    shown = [by_row[row] for row in grid.indices]
    assert shown == sorted(shown, reverse=True)
    rest = [error for row, error in by_row.items() if row not in grid.indices]
    assert rest
    assert min(shown) >= max(rest) - 1.0  # errors are of floats, those here of pixels as they are shown
    assert grid.rows == f"the worst of {len(by_row)} held-out images"


def test_they_are_the_same_however_many_are_looked_at_together(
    evaluator: FactoringEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    [whole] = evaluator.reconstructions(count=6, shown="worst")
    monkeypatch.setattr(encoding, "BATCH_SIZE", 7)
    [parts] = evaluator.reconstructions(count=6, shown="worst")
    assert parts.indices == whole.indices
    np.testing.assert_array_equal(parts.inputs, whole.inputs)

"""The sampled schedule trains one task a step, drawn by weight."""

from __future__ import annotations

import numpy as np
import pytest

from acc.data import AccDataset
from acc.tests import helpers
from acc.training.losses import series


def drawn_tasks(dataset: AccDataset, steps: int, **weights: float) -> tuple[list[str], dict[str, np.ndarray]]:
    tasks = [helpers.task(key, weight=weight) for key, weight in weights.items()]
    spec = helpers.job({"data": dataset}, tasks, steps=steps, schedule="sampled", batch_size=4)
    _, sink = helpers.run(spec, {"data": dataset})
    history = sink.history()
    present = np.stack([~np.isnan(history[series.raw(key)]) for key in weights])
    assert (present.sum(axis=0) == 1).all()
    return [list(weights)[row] for row in present.argmax(axis=0)], history


def test_one_task_is_trained_at_each_step_in_proportion_to_its_weight(dataset: AccDataset) -> None:
    names, _ = drawn_tasks(dataset, 400, classification=3.0, regression=1.0)
    assert 0.68 < names.count("classification") / 400 < 0.82


def test_a_task_of_weight_zero_is_never_drawn(dataset: AccDataset) -> None:
    names, _ = drawn_tasks(dataset, 60, classification=0.0, regression=1.0, kl=0.0)
    assert set(names) == {"regression"}


def test_the_weight_is_the_odds_and_does_not_scale_the_loss_too(dataset: AccDataset) -> None:
    _, history = drawn_tasks(dataset, 20, classification=4.0, regression=1.0)
    raw, weighted = history[series.raw("classification")], history[series.weighted("classification")]
    np.testing.assert_array_equal(raw, weighted)
    together = np.nansum([history[series.weighted(key)] for key in ("classification", "regression")], axis=0)
    np.testing.assert_allclose(history[series.TOTAL], together)


@pytest.mark.parametrize("seed", [0, 1])
def test_draws_depend_on_the_seed_alone(dataset: AccDataset, seed: int) -> None:
    first, _ = drawn_tasks(dataset, 30, classification=1.0, regression=1.0)
    again, _ = drawn_tasks(dataset, 30, classification=1.0, regression=1.0)
    assert first == again

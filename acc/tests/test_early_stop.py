"""Early stopping ends a job once a loss has not fallen for a while, and at the same step after a resume."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from acc.data import AccDataset
from acc.errors import InvalidInput
from acc.specs import TrainSpec
from acc.tests import helpers
from acc.training.losses.early_stop import EarlyStop
from acc.training.protocols import PointBlock


def block(start: int, values: list[float]) -> PointBlock:
    return PointBlock(start, ("total",), np.array([values], dtype=np.float32), 0.0, 0.0)


def early(**options: Any) -> EarlyStop:
    return EarlyStop(TrainSpec(steps=2000, early_stop="total", early_stop_patience=200, **options), ["kl"])


def end_of(stop: EarlyStop, means: list[float], first: int = 0) -> tuple[int, str]:
    for window, mean in enumerate(means, start=first):
        stop.take(block(100 * window, [mean] * 100))
        if message := stop.ended(100 * (window + 1)):
            return 100 * (window + 1), message
    return 0, ""


def test_it_ends_once_the_best_mean_is_older_than_the_patience() -> None:
    step, message = end_of(early(), [3.0, 2.0, 2.5, 2.1, 1.0])
    assert step == 400
    assert message == (
        "stopped early at step 400 of 2000: the total loss was not below 2, its mean up to step 200, for 200 steps"
    )


def test_a_loss_that_falls_never_ends_it() -> None:
    assert end_of(early(), [3.0, 2.9, 2.8, 2.7, 2.6]) == (0, "")


def test_an_improvement_below_the_least_counts_for_nothing() -> None:
    assert end_of(early(early_stop_min_delta=0.5), [3.0, 2.9, 2.8, 2.7])[0] == 300


def test_its_state_goes_on_in_the_middle_of_a_window() -> None:
    whole, cut = early(), early()
    means = [3.0, 2.0, 2.5, 2.1]
    assert end_of(cut, means[:2]) == (0, "")
    cut.take(block(200, [2.5] * 30))
    resumed = early()
    resumed.load(cut.state())
    resumed.take(block(230, [2.5] * 70))
    assert resumed.ended(300) == ""
    assert end_of(resumed, means[3:], first=3) == end_of(whole, means)


def test_a_loss_that_no_task_has_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput) as caught:
        EarlyStop(TrainSpec(steps=1, early_stop="recon"), ["kl", "digit"])
    assert "use one of: total, kl, digit" in str(caught.value.fields["early_stop"])


def test_a_resumed_job_ends_at_the_step_of_an_undisturbed_one(dataset: AccDataset) -> None:
    datasets = {"data": dataset}
    spec = helpers.job(
        datasets,
        [helpers.task("classification", factor="digit")],
        steps=900,
        batch_size=4,
        lr=1e-9,
        early_stop="total",
        early_stop_patience=100,
        early_stop_min_delta=1.0,
        checkpoint_every_steps=130,
    )
    whole, sink = helpers.run(spec, datasets)
    assert whole.step == 200
    resumed, _ = helpers.run(spec, datasets, resume_from=sink.at(130).checkpoint())
    assert resumed.step == 200
    assert resumed.state.early.state() == whole.state.early.state()

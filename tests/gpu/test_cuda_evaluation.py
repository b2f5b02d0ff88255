"""Evaluation on a GPU: every part of it runs there, and measures what the CPU measures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from acc.evaluation import FactoringEvaluator
from acc.specs import EVAL_PARTS, EvalSpec
from acc.tests import evaluated, helpers
from tests.gpu.machine import GPU, NEEDS_GPU

pytestmark = [NEEDS_GPU, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=["pooled", "spatial"])
def both(request: pytest.FixtureRequest) -> tuple[FactoringEvaluator, FactoringEvaluator]:
    made = evaluated.checkpoint(bottleneck=request.param)
    cpu, gpu = (
        FactoringEvaluator(made, evaluated.data(), helpers.shipped_tasks(), device=device, rows="all")
        for device in ("cpu", GPU)
    )
    return cpu, gpu


def test_metrics_are_those_of_the_cpu(both: tuple[FactoringEvaluator, FactoringEvaluator]) -> None:
    cpu, gpu = (
        {(each.task_key, each.name): each.value for each in evaluator.metrics()} for evaluator in both
    )
    assert cpu.keys() == gpu.keys()
    for name, value in cpu.items():
        assert gpu[name] == (None if value is None else pytest.approx(value, rel=1e-3, abs=1e-4)), name


def test_the_suite_is_that_of_the_cpu(both: tuple[FactoringEvaluator, FactoringEvaluator]) -> None:
    cpu, gpu = (evaluator.ufr(seed=0).suite.headline() for evaluator in both)
    assert cpu.keys() == gpu.keys()
    for name, score in cpu.items():
        if math.isnan(score.value):
            assert math.isnan(gpu[name].value), name
        else:
            # Bins and trees turn the last digit of a latent into another count now and then.
            assert gpu[name].value == pytest.approx(score.value, abs=0.02), name


@pytest.mark.parametrize("direction", ["principal", "pattern", "dimensions"])
def test_pictures_are_those_of_the_cpu(
    both: tuple[FactoringEvaluator, FactoringEvaluator], direction: Any
) -> None:
    cpu, gpu = (evaluator.traversals(direction=direction) for evaluator in both)
    assert len(cpu) == len(gpu) > 0
    for one, other in zip(cpu, gpu, strict=True):
        assert one.reason == other.reason
        if one.reason:  # nothing is drawn where there is no direction to go
            continue
        assert np.allclose(one.values, other.values, rtol=1e-3, atol=1e-4)
        assert np.abs(one.images.astype(int) - other.images.astype(int)).max() <= 1
    for one_end, other_end in zip(*(evaluator.sort(direction=direction) for evaluator in both), strict=True):
        assert one_end.reason == other_end.reason
        if one_end.lowest is not None and other_end.lowest is not None:
            assert len(set(one_end.lowest.indices) ^ set(other_end.lowest.indices)) <= 2


def test_every_part_can_be_asked_at_once(both: tuple[FactoringEvaluator, FactoringEvaluator]) -> None:
    asked = EvalSpec(suite=EVAL_PARTS, images=4, seeds=2, steps=3, sort_images=4)
    cpu, gpu = (evaluator.evaluate(asked) for evaluator in both)
    assert cpu.missing == gpu.missing
    assert gpu.factoring is not None

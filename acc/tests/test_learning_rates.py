"""The learning rate of a step is a pure function of the step."""

from __future__ import annotations

import pytest
import torch

from acc.specs import TrainSpec
from acc.training.optim import NamedOptimizer, lr_at


def rates(schedule: str, steps: int = 100) -> list[float]:
    train = TrainSpec(steps=steps, lr=0.1, lr_schedule=schedule)
    return [lr_at(0.1, step, train) for step in range(steps)]


def test_a_constant_rate_is_constant() -> None:
    assert set(rates("constant")) == {0.1}


def test_a_cosine_falls_from_the_rate_to_nothing() -> None:
    found = rates("cosine")
    assert found[0] == pytest.approx(0.1)
    assert found[50] == pytest.approx(0.05)
    assert found[-1] < 1e-4
    assert found == sorted(found, reverse=True)


def test_one_cycle_rises_for_a_third_and_falls_to_nothing() -> None:
    found = rates("one_cycle")
    assert found[0] == pytest.approx(0.1 / 25)
    assert max(found) == pytest.approx(0.1)
    assert found.index(max(found)) == 30
    assert found[:31] == sorted(found[:31])
    assert found[30:] == sorted(found[30:], reverse=True)
    assert found[-1] < 1e-3


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_very_short_runs_have_a_positive_rate(schedule: str, steps: int) -> None:
    assert all(0 < rate <= 0.1 for rate in rates(schedule, steps))


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd"])
def test_parameters_come_and_go_with_the_state_of_the_others_kept(kind: str) -> None:
    train = TrainSpec(steps=1, optimizer=kind)
    first, second = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2))
    optimizer = NamedOptimizer([("a", first)], train, torch.device("cpu"))

    def step() -> None:
        for parameter in optimizer.parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizer.inner.step()

    step()
    slot = {"sgd": "momentum_buffer"}.get(kind, "exp_avg")
    before = optimizer.state()[f"a/{slot}"].clone()
    optimizer.add([("b", second)])
    assert torch.equal(optimizer.state()[f"a/{slot}"], before)
    step()
    assert set(optimizer.state()) >= {f"a/{slot}", f"b/{slot}"}
    optimizer.remove([second])
    assert {name.partition("/")[0] for name in optimizer.state()} == {"a"}
    frozen = second.detach().clone()
    step()
    assert torch.equal(second, frozen)

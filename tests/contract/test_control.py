"""Commands written by the site reach the trainer between two steps; what was steered before is steered again."""

from __future__ import annotations

import time

import pytest

from acc.errors import InvalidInput
from acc.training.protocols import Command
from accsite.apps.jobs.models import JobEvent
from accsite.apps.training.services import jobs
from workers.job.control import DatabaseControl, refusal

pytestmark = pytest.mark.both_databases


def until_due(control: DatabaseControl, step: int = 0, seconds: float = 3.0) -> list[Command]:
    """Return the first commands that come, as a training loop would find them."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        commands = control.due(step)
        if commands:
            return list(commands)
        time.sleep(0.005)
    raise AssertionError("no command came")


def test_a_command_arrives_within_a_quarter_of_a_second_and_once_only(claimed):
    with DatabaseControl(claimed.job.pk) as control:
        assert control.due(0) == ()
        asked = time.monotonic()
        jobs.request_control(actor=None, job=claimed.job, kind="pause")
        commands = until_due(control)
        assert time.monotonic() - asked < 0.25
        assert [command.kind for command in commands] == ["pause"]
        time.sleep(0.3)  # the event is PENDING still, since nobody has answered it
        assert control.due(1) == ()


def test_waiting_ends_when_a_command_arrives(claimed):
    with DatabaseControl(claimed.job.pk) as control:
        jobs.request_control(actor=None, job=claimed.job, kind="resume")
        began = time.monotonic()
        control.wait(5)
        assert time.monotonic() - began < 1
        assert [command.kind for command in control.due(0)] == ["resume"]


def test_earlier_steering_is_replayed_at_its_step_and_new_steering_waits_for_it():
    replay = [
        Command(2, "set_weight", {"weight": 2}, at_step=20),
        Command(1, "set_weight", {"weight": 1}, at_step=10),
    ]
    control = DatabaseControl(1, replay=replay)
    control._deliver(Command(3, "set_weight", {"weight": 3}))
    assert list(control.due(0)) == []
    assert [command.id for command in control.due(10)] == [1]
    control._deliver(Command(4, "stop"))
    assert [command.id for command in control.due(11)] == [4], "a stop waits for nothing"
    assert [command.id for command in control.due(20)] == [2, 3]
    assert control.due(21) == ()


def test_draining_needs_no_database():
    control = DatabaseControl(1)
    control.drain()
    assert [command.kind for command in control.due(5)] == ["drain"]


def test_a_command_whose_needs_cannot_be_met_is_refused_and_does_not_reach_the_trainer(claimed):
    refused: list[tuple[Command, Exception]] = []

    def prepare(command: Command) -> None:
        raise InvalidInput({"dataset": "it is gone"})

    control = DatabaseControl(
        claimed.job.pk, prepare=prepare, refuse=lambda command, error: refused.append((command, error))
    )
    with control:
        JobEvent.objects.create(job=claimed.job, kind="add_task", status=JobEvent.Status.PENDING)
        time.sleep(0.4)
        assert control.due(0) == ()
    command, error = refused[0]
    result = refusal(command, error, 7)
    assert (result.ok, result.step, result.field, result.message) == (False, 7, "dataset", "it is gone")


def test_an_empty_poll_of_the_training_thread_costs_less_than_a_microsecond():
    control = DatabaseControl(1)
    began = time.perf_counter()
    for step in range(100_000):
        control.due(step)
    assert (time.perf_counter() - began) / 100_000 < 1e-6


@pytest.mark.parametrize("error", [ValueError("broken"), RuntimeError()])
def test_any_error_becomes_a_sentence(error):
    assert refusal(Command(1, "add_task"), error, 0).message

"""A task that fails says where; one that came while the job ran is tried first, and later switched off if it fails."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from acc.errors import PluginFailed
from acc.models import build
from acc.plugins import load_source
from acc.specs import TaskSpec
from acc.tests import helpers
from acc.training.plugin_set import PluginSet
from acc.training.proof import on_rank_0
from acc.training.trainer import Trainer

DATA = {"data": helpers.blobs(40, seed=1)}
SOURCE = '''
import torch
from acc.api import Param, Task


class Fails(Task):
    """The mean square of the latent, until the step at which it does something else."""

    at = Param(0, min=0, help="step")
    how = Param("raise", choices=("raise", "nan", "vector", "text", "detached"), help="what it does then")

    def compute_loss(self, output, batch, head):
        self.step = getattr(self, "step", -1) + 1
        loss = output.latent.square().mean()
        if self.step < self.at:
            return loss
        if self.how == "raise":
            raise ValueError("boom")
        return {"nan": loss * float("nan"), "vector": output.latent, "text": "loss", "detached": loss.detach()}[
            self.how
        ]
'''
LINE = next(number for number, line in enumerate(SOURCE.splitlines(), 1) if "raise ValueError" in line)
DEFINED = next(number for number, line in enumerate(SOURCE.splitlines(), 1) if "def compute_loss" in line)
CLASSES = PluginSet(*load_source(SOURCE, "tasks/fails.py"))
CLASSES.include(helpers.shipped_tasks())
WORDS = {
    "raise": rf"task 'fails': Fails failed, ValueError: boom \(tasks/fails\.py, line {LINE}\)",
    "nan": rf"task 'fails': Fails\.compute_loss \(tasks/fails\.py, line {DEFINED}\) returned nan",
    "vector": rf"task 'fails': Fails\.compute_loss \(tasks/fails\.py, line {DEFINED}\) returned a tensor of shape",
    "text": r"task 'fails': .* returned 'loss'; it must return a scalar",
    "detached": r"task 'fails': .* returned a loss without a gradient",
}


def failing_task(**params: Any) -> dict[str, Any]:
    fields = helpers.task("reconstruction", key="fails").model_dump(mode="json")
    return {**fields, "task_class": "Fails", "name": "Fails", "params": params}


def trained(script: helpers.Script | None = None, tasks: Any = None, **train: Any) -> Any:
    spec = helpers.job(DATA, tasks or [helpers.task("reconstruction")], **{"steps": 12, **train})
    sink = helpers.KeepingSink()
    trainer, _ = helpers.run(spec, DATA, CLASSES, control=script, sink=sink)
    return trainer, sink


@pytest.mark.parametrize("how", WORDS)
def test_the_first_batch_is_looked_at_before_anything_trains(how: str) -> None:
    spec = TaskSpec.model_validate(failing_task(how=how))
    with pytest.raises(PluginFailed, match=f"{WORDS[how]}.* at step 0"):
        trained(tasks=[helpers.task("reconstruction"), spec])


def test_a_task_that_raises_later_names_its_file_its_line_and_the_step() -> None:
    spec = TaskSpec.model_validate(failing_task(at=7))
    with pytest.raises(PluginFailed, match=f"{WORDS['raise']} at step 7$"):
        trained(tasks=[helpers.task("reconstruction"), spec])


@pytest.mark.parametrize("how", WORDS)
def test_an_added_task_is_tried_on_a_copy_and_refused_without_a_trace(how: str) -> None:
    script = helpers.Script({4: [("add_task", {"task": failing_task(how=how)})]})
    trainer, sink = trained(script)
    (refused,) = sink.commands
    assert (refused.ok, refused.step, refused.field) == (False, 4, "task_class")
    assert re.search(WORDS[how], refused.message)
    assert "it was tried on a copy" in refused.message
    assert list(trainer.tasks.entries) == ["reconstruction"]
    _, undisturbed = trained()
    one, other = sink.last.tensors, undisturbed.last.tensors
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("how", ["raise", "nan"])
@pytest.mark.parametrize("schedule", ["joint", "sampled"])
def test_an_added_task_that_fails_later_is_switched_off_and_the_job_goes_on(how: str, schedule: str) -> None:
    script = helpers.Script({4: [("add_task", {"task": failing_task(at=3, how=how)})]})
    trainer, sink = trained(script, steps=20, schedule=schedule)
    assert [result.ok for result in sink.commands] == [True]
    assert not trainer.tasks.entries["fails"].spec.enabled
    (alarm,) = [alarm for alarm in sink.alarms if alarm.kind == "task_off"]
    assert "tasks/fails.py, line" in alarm.message
    assert re.search(r" at step \d+", alarm.message)
    assert "switched off, and the job goes on" in alarm.message
    steps = np.concatenate([np.arange(block.start, block.start + block.count) for block in sink.blocks])
    assert steps.tolist() == list(range(20))  # every step has its point
    assert all(
        torch.isfinite(tensor).all() for tensor in sink.last.tensors.values() if tensor.is_floating_point()
    )


def test_switched_off_or_not_the_end_is_the_same_after_a_resume(tmp_path: Any) -> None:
    script = {4: [("add_task", {"task": failing_task(at=6, how="nan")})]}
    _, whole = trained(helpers.Script(script), steps=20, checkpoint_every_steps=8)
    whole.at(8).write(tmp_path / "eight")
    spec = helpers.job(DATA, [helpers.task("reconstruction")], steps=20, checkpoint_every_steps=8)
    _, resumed = helpers.run(spec, DATA, CLASSES, resume_from=tmp_path / "eight")
    assert resumed.at(20).write(tmp_path / "resumed") == whole.at(20).write(tmp_path / "whole")


@pytest.mark.parametrize(("policy", "ends"), [("auto", True), ("off", False), ("end", True)])
def test_the_policy_of_the_job_says_what_a_task_of_its_beginning_does(policy: str, ends: bool) -> None:
    tasks = [helpers.task("reconstruction"), TaskSpec.model_validate(failing_task(at=5))]
    if ends:
        with pytest.raises(PluginFailed, match="at step 5"):
            trained(tasks=tasks, on_task_error=policy)
        return
    trainer, _ = trained(tasks=tasks, on_task_error=policy)
    assert (trainer.step, [entry.spec.key for entry in trainer.tasks.enabled]) == (12, ["reconstruction"])


@pytest.mark.parametrize("how", ["raise", "nan"])
def test_what_fails_in_the_first_step_is_not_proven_after_it_was_switched_off(how: str) -> None:
    tasks = [helpers.task("reconstruction"), TaskSpec.model_validate(failing_task(how=how))]
    trainer, sink = trained(tasks=tasks, on_task_error="off")
    assert (trainer.step, [entry.spec.key for entry in trainer.tasks.enabled]) == (12, ["reconstruction"])
    assert [alarm.kind for alarm in sink.alarms] == ["task_off"]


def test_a_task_that_is_taken_away_before_the_first_step_is_not_proven() -> None:
    tasks = [helpers.task("reconstruction"), TaskSpec.model_validate(failing_task())]
    script = helpers.Script({0: [("remove_task", {"task": "fails"})]})
    trainer, sink = trained(script, tasks=tasks)
    assert [result.ok for result in sink.commands] == [True]
    assert (trainer.step, list(trainer.tasks.entries)) == (12, ["reconstruction"])


def test_a_resumed_job_is_proven_with_the_tasks_that_it_has_then(tmp_path: Any) -> None:
    tasks = [helpers.task("reconstruction"), TaskSpec.model_validate(failing_task(at=6))]
    sink = helpers.KeepingSink()
    spec = helpers.job(DATA, tasks, steps=12, checkpoint_every_steps=6)
    with pytest.raises(PluginFailed, match="at step 6"):
        helpers.run(spec, DATA, CLASSES, sink=sink)
    sink.at(6).write(tmp_path / "six")
    added = helpers.task("classification", factor="digit").model_dump(mode="json")
    script = helpers.Script({6: [("remove_task", {"task": "fails"}), ("add_task", {"task": added})]})
    sink = helpers.KeepingSink()
    trainer, _ = helpers.run(spec, DATA, CLASSES, sink=sink, control=script, resume_from=tmp_path / "six")
    assert [result.ok for result in sink.commands] == [True, True]
    assert (trainer.step, list(trainer.tasks.entries)) == (12, ["reconstruction", "classification"])


def test_with_skip_a_task_that_is_to_be_switched_off_still_is() -> None:
    tasks = [helpers.task("reconstruction"), TaskSpec.model_validate(failing_task(at=5, how="nan"))]
    trainer, sink = trained(tasks=tasks, on_task_error="off", on_nan="skip", steps=120)
    assert (trainer.step, trainer.skipped) == (120, 1)
    assert [alarm.kind for alarm in sink.alarms] == ["task_off"]


def test_where_no_task_would_be_left_none_is_said_to_be_switched_off() -> None:
    tasks = [
        TaskSpec.model_validate({**failing_task(at=5, how="nan"), "key": key}) for key in ("one", "other")
    ]
    sink = helpers.KeepingSink()
    spec = helpers.job(DATA, tasks, steps=12, on_task_error="off")
    with pytest.raises(PluginFailed, match=r"task 'one': .*; task 'other': .*They cannot be switched off"):
        helpers.run(spec, DATA, CLASSES, sink=sink)
    assert not [alarm for alarm in sink.alarms if alarm.kind == "task_off"]


def test_with_end_an_added_task_ends_the_job_too() -> None:
    script = helpers.Script({4: [("add_task", {"task": failing_task(at=3)})]})
    with pytest.raises(PluginFailed, match="boom"):
        trained(script, on_task_error="end")


def test_a_task_that_nothing_else_trains_beside_cannot_be_switched_off() -> None:
    spec = TaskSpec.model_validate(failing_task(at=5))
    with pytest.raises(
        PluginFailed, match="at step 5. It cannot be switched off: .*no task would be enabled"
    ):
        trained(tasks=[spec], on_task_error="off")


def test_a_task_switched_on_for_the_first_time_is_tried_too() -> None:
    spec = TaskSpec.model_validate({**failing_task(), "enabled": False})
    script = helpers.Script({4: [("set_enabled", {"task": "fails", "enabled": True})]})
    trainer, sink = trained(script, tasks=[helpers.task("reconstruction"), spec])
    assert (sink.commands[0].ok, sink.commands[0].field) == (False, "task")
    assert "boom" in sink.commands[0].message
    assert trainer.step == 12


def test_a_model_that_raises_says_where_and_when() -> None:
    from acc.models import ConvVAE

    class Breaks(ConvVAE):
        steps = 0

        def posterior(self, x_BCHW: Any) -> Any:
            self.steps += self.training
            if self.steps > 3:
                raise RuntimeError("bang")
            return super().posterior(x_BCHW)

    classes = PluginSet(Breaks)
    classes.include(CLASSES)
    spec = helpers.job(DATA, [helpers.task("reconstruction")], model=helpers.model_spec("Breaks", params={}))
    with pytest.raises(
        PluginFailed,
        match=r"the model Breaks failed, RuntimeError: bang \(test_failing_tasks\.py, line \d+\) at step 3",
    ):
        helpers.run(spec, DATA, classes)


LIBRARY = """
import json
import random

from acc.api import JointTask, Task


class Draws(Task):
    def compute_loss(self, output, batch, head):
        return random.sample([1], 2)


class Joins(JointTask):
    def compute_joint_loss(self, own, others, head):
        self.steps = getattr(self, "steps", 0) + 1
        return own.output.z.square().mean() * (float("nan") if self.steps > 4 else 1)
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Draws", r"Draws failed, ValueError: .* \(tasks/library\.py, line 10\) at step 0"),
        ("Joins", r"Joins\.compute_joint_loss \(tasks/library\.py, line 14\) returned .* at step 4"),
    ],
)
def test_a_failure_is_told_with_the_plugins_line_and_not_with_that_of_a_library(
    name: str, words: str
) -> None:
    classes = PluginSet(*load_source(LIBRARY, "tasks/library.py"))
    classes.include(CLASSES)
    own = TaskSpec.model_validate({**failing_task(), "task_class": name, "key": "own"})
    spec = helpers.job(DATA, [helpers.task("reconstruction"), own], on_task_error="off")
    _, sink = helpers.run(spec, DATA, classes)
    (alarm,) = sink.alarms
    assert re.search(words, alarm.message)


def too_much() -> None:
    torch.empty(2**58, dtype=torch.uint8)  # more than any machine has


def test_without_memory_for_the_proof_the_job_goes_on_unproven_with_an_alarm() -> None:
    sink = helpers.KeepingSink()
    spec = helpers.job(DATA, [helpers.task("reconstruction")])
    on_rank_0(Trainer(spec, DATA, classes=CLASSES).state, sink, too_much)
    (alarm,) = sink.alarms
    assert (alarm.kind, "it goes on unproven" in alarm.message) == ("proof", True)


def test_a_machine_without_memory_is_not_blamed_on_the_architecture() -> None:
    from acc.models import ConvVAE

    class Wants(ConvVAE):
        def posterior(self, x_BCHW: Any) -> Any:
            too_much()
            return super().posterior(x_BCHW)

    with pytest.raises(RuntimeError, match="allocate memory"):
        build(helpers.model_spec("Wants", params={}), {"Wants": Wants})

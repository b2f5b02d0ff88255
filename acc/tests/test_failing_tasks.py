"""A task that fails says where; one that came while the job ran is tried first, and later switched off if it fails."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from acc.errors import PluginFailed
from acc.plugins import load_source
from acc.specs import TaskSpec
from acc.tests import helpers
from acc.training.plugin_set import PluginSet

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

"""A loss with a fourth parameter is told of its step, and a resume goes on with what it was told."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from acc.errors import InvalidInput, PluginFailed
from acc.tests import helpers
from acc.training.context import StepContext
from acc.training.plugin_set import PluginSet
from acc.training.task import JointTask, Task
from acc.training.trainer import Trainer

DATA = {"data": helpers.blobs(40, seed=1)}
SEEN: list[tuple[int, int, int, int, bool]] = []


class Asks(Task):
    """Notes what it is told, and draws from the generator."""

    def compute_loss(self, output: Any, batch: Any, head: Any, step: StepContext) -> Any:
        again = step.model.encode(batch.images).mean
        if self.training:
            SEEN.append((step.step, step.global_step, step.total, step.training_rows, again.requires_grad))
        noise = torch.randn(output.z.shape, generator=step.generator, device=output.z.device)
        return (output.z + noise).square().mean() * (1 + step.step / 10)


class AsksJointly(JointTask):
    def compute_joint_loss(self, own: Any, others: Any, head: Any, step: StepContext) -> Any:
        return own.output.mean.square().mean() * (1 + step.step) * (1 + len(others))


class HasAThirdOfItsOwn(Task):
    def compute_loss(self, output: Any, batch: Any, head: Any, scale: float = 2.0) -> Any:
        return output.mean.square().mean() * scale


class TakesTwo(Task):
    def compute_loss(self, output: Any, batch: Any) -> Any:
        return output.mean.square().mean()


CLASSES = (Asks, AsksJointly, HasAThirdOfItsOwn, TakesTwo)


def classes() -> PluginSet:
    found = helpers.shipped_tasks()
    found.add(*CLASSES)
    return found


def run(*names: str, **fields: Any) -> Trainer:
    tasks = [helpers.task(name) for name in ("reconstruction", *names)]
    begin = {name: fields.pop(name) for name in ("start_from", "resume_from", "proof") if name in fields}
    trainer = Trainer(helpers.job(DATA, tasks, **fields), DATA, classes=classes(), device="cpu", **begin)
    trainer.run()
    return trainer


def test_a_loss_is_told_its_age_the_line_and_the_rows_that_are_trained_on() -> None:
    first = run("Asks", steps=3, proof=False)
    SEEN.clear()
    run("Asks", steps=5, start_from=first.snapshot().checkpoint(), proof=False)
    rows = len(first.state._training_rows("data"))
    assert 0 < rows < 40
    assert [(3 + at, 3 + at, 5, rows, True) for at in range(5)] == SEEN


@pytest.mark.parametrize("name", ["Asks", "AsksJointly", "HasAThirdOfItsOwn"])
def test_a_job_taken_up_again_goes_on_to_the_bit(name: str) -> None:
    whole = run(name, steps=6).snapshot()
    part = run(name, steps=3).snapshot().checkpoint()
    again = run(name, steps=3, start_from=part).snapshot()
    assert differing_tensors(whole, again) == []


def differing_tensors(one: Any, other: Any) -> list[str]:
    assert one.tensors.keys() == other.tensors.keys()
    return [name for name, tensor in one.tensors.items() if not torch.equal(tensor, other.tensors[name])]


def test_a_next_job_of_another_seed_draws_other_numbers() -> None:
    first = run("Asks", steps=2).snapshot().checkpoint()
    kept = [run("Asks", steps=1, seed=seed, start_from=first).snapshot().tensors for seed in (1, 2)]
    assert not torch.equal(kept[0]["generator.asks"], kept[1]["generator.asks"])


def test_the_generator_is_kept_only_where_it_was_used() -> None:
    assert "generator.asks" in run("Asks", steps=1).snapshot().tensors
    assert not [name for name in run("AsksJointly", steps=1).snapshot().tensors if "generator" in name]


def test_batches_for_one_update_are_of_one_step() -> None:
    SEEN.clear()
    run("Asks", steps=2, accumulate=3, proof=False)
    assert [seen[0] for seen in SEEN] == [0, 0, 0, 1, 1, 1]


def test_a_loss_that_cannot_be_called_is_refused_in_a_sentence() -> None:
    with pytest.raises(InvalidInput) as refused:
        run("TakesTwo")
    told = refused.value.fields["task_class"][0]
    assert "compute_loss(output, batch, head), nor as compute_loss(output, batch, head, step)" in told
    assert "test_what_a_step_knows.py, line" in told


def test_measuring_twice_gives_the_same() -> None:
    from acc.evaluation.evaluator import FactoringEvaluator

    checkpoint = run("Asks", steps=2).snapshot().checkpoint()
    evaluators = [FactoringEvaluator(checkpoint, DATA, classes(), device="cpu") for _ in range(2)]
    measured = [evaluators[0].metrics(), evaluators[0].metrics(), evaluators[1].metrics()]
    assert [one.value for one in measured[0]] == [one.value for one in measured[1]]
    assert [one.value for one in measured[0]] == [one.value for one in measured[2]]
    assert [one.reason for one in measured[0] if one.task_key == "asks"] == [""]


def test_a_loss_that_fails_with_the_step_is_named() -> None:
    class Fails(Task):
        def compute_loss(self, output: Any, batch: Any, head: Any, step: StepContext) -> Any:
            raise ValueError(f"at {step.step}")

    found = classes()
    found.add(Fails)
    job = helpers.job(DATA, [helpers.task("Fails")])
    with pytest.raises(PluginFailed, match="task 'fails': Fails failed, ValueError: at 0"):
        Trainer(job, DATA, classes=found, device="cpu").run()

"""Tasks and models may declare optimizers of their own: each steps on its loss, and all are resumed to the bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from acc.errors import InvalidInput, PluginFailed
from acc.models import ConvVAE
from acc.specs import TrainSpec
from acc.tests import helpers
from acc.training.optim import NamedOptimizer
from acc.training.optimizers import OptimizerGroup, Optimizers, Plateau
from acc.training.protocols import PointBlock
from acc.training.run import MemorySink
from acc.training.task import Task
from acc.training.trainer import Trainer

DATA = {"data": helpers.blobs(40, seed=1)}
MADE: dict[str, Any] = {}


class Adversary(Task):
    """A discriminator of codes from shuffled codes, with an Adam of its own (after Kim & Mnih 2018)."""

    needs_whole_batch = True

    def build_head(self, in_dim: int, dataset: Any) -> Any:
        return nn.Sequential(nn.Linear(in_dim, 8), nn.LeakyReLU(0.2), nn.Linear(8, 2))

    def optimizers(self, head: Any) -> Any:
        return [
            OptimizerGroup(
                head, "adam", lr=1e-3, betas=(0.5, 0.9), loss="discriminator", **MADE.get("more", {})
            )
        ]

    def compute_loss(self, output: Any, batch: Any, head: Any, step: Any) -> Any:
        z = self.latent(output)
        shuffled = torch.stack(
            [z[torch.randperm(len(z), generator=step.generator), at] for at in range(z.shape[1])], 1
        )
        told = head(z)
        zero = torch.zeros(len(z), dtype=torch.long)
        return {
            "tc": (told[:, 0] - told[:, 1]).mean(),
            "discriminator": (F.cross_entropy(told, zero) + F.cross_entropy(head(shuffled), 1 - zero)) / 2,
        }


class TwoRates(ConvVAE):
    """Its decoder learns by SGD, with a rate that falls in steps."""

    def optimizers(self) -> Any:
        return [OptimizerGroup(self.decoder, "sgd", lr=0.01, schedule="step", every_steps=2, factor=0.5)]


def run(*tasks: Any, more: tuple[type, ...] = (), architecture: str = "ConvVAE", **fields: Any) -> Trainer:
    begin = {
        name: fields.pop(name) for name in ("start_from", "resume_from", "proof", "sink") if name in fields
    }
    found = helpers.shipped_tasks()
    found.add(Adversary, TwoRates, *more)
    job = helpers.job(DATA, tasks, model=helpers.model_spec(architecture), **fields)
    trainer = Trainer(job, DATA, classes=found, device="cpu", **begin)
    trainer.run()
    return trainer


def differing(one: Any, other: Any) -> list[str]:
    assert one.tensors.keys() == other.tensors.keys()
    return [name for name, tensor in one.tensors.items() if not torch.equal(tensor, other.tensors[name])]


TASKS = (helpers.task("reconstruction"), helpers.task("Adversary", key="gan", weight=0.1))


class KeepsAll(MemorySink):
    """Keeps every checkpoint by its step."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[int, Any] = {}

    def on_checkpoint(self, snapshot: Any, reason: Any) -> None:
        self.at[snapshot.step] = snapshot


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"schedule": "plateau", "patience_steps": 100, "factor": 0.5},
        {"schedule": "cosine", "warmup_steps": 3},
    ],
)
def test_a_group_of_a_task_is_resumed_to_the_bit(more: dict[str, Any]) -> None:
    MADE["more"] = more
    try:
        sink = KeepsAll()
        whole = run(*TASKS, steps=240, checkpoint_every_steps=120, sink=sink, proof=False).snapshot()
        again = run(*TASKS, steps=240, resume_from=sink.at[120].checkpoint(), proof=False).snapshot()
        assert differing(whole, again) == []
        assert whole.header.plateaus == again.header.plateaus
        assert bool(whole.header.plateaus.get("gan/0")) == (more.get("schedule") == "plateau")
    finally:
        MADE.clear()


def test_neither_side_has_the_gradient_of_the_other() -> None:
    trainer = run(*TASKS, steps=1, proof=False)
    state: Any = trainer.state
    entry: Any = trainer.tasks.get("gan")
    with state.ready():
        plan = state._schedule.at(0)
        before = [group.stream.offset for group in plan._groups]
        state.updates.make(plan, 0.0, 1, None)
    assert before
    head = [one.grad.clone() for one in entry.head.parameters()]
    model = [one.grad.clone() for one in state.model.parameters() if one.grad is not None]
    # By hand, on the same rows with the same noise: two passes, each side detached from the other.
    again = run(*TASKS, steps=1, proof=False)
    other: Any = again.state
    own: Any = again.tasks.get("gan")
    with other.ready():
        plan = other._schedule.at(0)
        losses = plan.losses(other.model)
        parts = dict(zip(own.part_names, own.parts, strict=True))
        wanted_head = torch.autograd.grad(
            parts["discriminator"], list(own.head.parameters()), retain_graph=True
        )
        of_model = [one for one in other.model.parameters() if one.requires_grad]
        total = losses[0] + 0.1 * parts["tc"]
        wanted_model = torch.autograd.grad(total, of_model, allow_unused=True)
    assert all(torch.equal(one, two) for one, two in zip(head, wanted_head, strict=True))
    wanted = [one for one in wanted_model if one is not None]
    assert all(torch.allclose(one, two, atol=1e-7) for one, two in zip(model, wanted, strict=True))


def test_a_loss_of_a_group_is_no_part_of_the_task_s() -> None:
    sink = MemorySink()
    run(*TASKS, steps=5, sink=sink)
    block = sink.blocks[0]
    rows = dict(zip(block.series, block.values, strict=True))
    np.testing.assert_allclose(rows["raw/gan"], rows["part/gan/tc"])
    assert (rows["part/gan/discriminator"] > 0).all()


@pytest.mark.parametrize("schedule", ["joint", "sampled"])
def test_a_task_whose_loss_of_a_group_is_no_number_is_switched_off(schedule: str) -> None:
    class Breaks(Adversary):
        def compute_loss(self, output: Any, batch: Any, head: Any, step: Any) -> Any:
            found = super().compute_loss(output, batch, head, step)
            return {**found, "discriminator": found["discriminator"] * (math.nan if step.step >= 4 else 1)}

    sink = KeepsAll()
    tasks = (helpers.task("reconstruction"), helpers.task("Breaks", key="gan", weight=1.0))
    ended = run(*tasks, more=(Breaks,), steps=130, on_task_error="off", schedule=schedule, sink=sink)
    assert (ended.step, [entry.spec.key for entry in ended.tasks.enabled]) == (130, ["reconstruction"])
    assert [alarm.kind for alarm in sink.alarms] == ["task_off"]


def test_divided_batches_move_a_group_as_whole_ones_do() -> None:
    one = run(*TASKS, steps=3, accumulate=2, proof=False).snapshot()
    assert all(
        torch.isfinite(tensor).all() for name, tensor in one.tensors.items() if name.startswith("head.")
    )


def test_a_model_may_have_groups_too() -> None:
    trainer = run(helpers.task("reconstruction"), architecture="TwoRates", steps=5)
    names = set(trainer.state.optimizer.state())
    assert "model.decoder.expand.weight/momentum_buffer" in names
    assert "model.to_mean.weight/exp_avg" in names
    [group] = trainer.state.optimizer.arms[1:]
    assert group.optimizer.inner.param_groups[0]["lr"] == pytest.approx(0.01 * 0.25)


def test_a_task_that_leaves_takes_its_groups_along() -> None:
    trainer = run(*TASKS, steps=2, proof=False)
    assert any(name.startswith("head.gan") for name in trainer.state.optimizer.state())
    trainer.state.drop("gan")
    assert len(trainer.state.optimizer.arms) == 1
    assert not any(name.startswith("head.gan") for name in trainer.state.optimizer.state())


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", "muon"])
@pytest.mark.parametrize("schedule", ["constant", "step", "plateau"])
def test_every_optimizer_of_a_job_is_resumed_to_the_bit(optimizer: str, schedule: str) -> None:
    fields: dict[str, Any] = {
        "optimizer": optimizer,
        "lr_schedule": schedule,
        "lr": 1e-3,
        "lr_warmup_steps": 7,
        "lr_every_steps": 50,
        "lr_patience_steps": 100,
        "beta1": 0.5,
        "steps": 220,
        "batch_size": 4,
        "proof": False,
    }
    sink = KeepsAll()
    whole = run(TASKS[0], **fields, checkpoint_every_steps=110, sink=sink).snapshot()
    again = run(TASKS[0], **fields, resume_from=sink.at[110].checkpoint()).snapshot()
    assert differing(whole, again) == []
    assert whole.header.plateaus == again.header.plateaus


def test_muon_has_the_matrices_and_adamw_the_rest() -> None:
    trainer = run(TASKS[0], optimizer="muon", steps=2)
    state = trainer.state.optimizer.state()
    by_dimensions = {name: tensor.dim() for name, tensor in trainer.model.named_parameters()}
    for name, dimensions in by_dimensions.items():
        slot = "momentum_buffer" if dimensions == 2 else "exp_avg"
        assert f"model.{name}/{slot}" in state, name


def test_a_plateau_lowers_the_rate_once_its_loss_rests() -> None:
    plateau = Plateau("raw/a", part=0.5, patience=200)

    def steps(first: int, value: float) -> None:
        values = np.full((1, 100), value, dtype=np.float32)
        plateau.take(PointBlock(first, ("raw/a",), values, 0.0, 0.0))
        plateau.turn(first + 100)

    factors = []
    for at, value in enumerate([3.0, 2.0, 2.0, 2.0, 1.0, 1.5, 1.5, 1.5, 1.5]):
        steps(100 * at, value)
        factors.append(plateau.factor)
    assert factors == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_rates_follow_the_job_s_unless_a_group_says_its_own() -> None:
    train = TrainSpec(steps=10, lr=0.1, lr_schedule="step", lr_every_steps=5)
    parameters = [nn.Parameter(torch.zeros(2, 2)) for _ in range(4)]
    optimizers = Optimizers(train, torch.device("cpu"))
    groups = (
        OptimizerGroup([parameters[1]], lr=0.5),
        OptimizerGroup([parameters[2]], schedule="constant"),
        OptimizerGroup([parameters[3]], warmup_steps=16),
    )
    optimizers.add("", [(str(at), one) for at, one in enumerate(parameters)], groups)
    optimizers.set_lr(0.2, 7)
    rates = [arm.optimizer.inner.param_groups[0]["lr"] for arm in optimizers.arms]
    assert rates == pytest.approx([0.02, 0.05, 0.2, 0.01])


def test_state_of_another_optimizer_is_not_taken() -> None:
    one = nn.Parameter(torch.zeros(2))
    optimizer = NamedOptimizer([("a", one)], TrainSpec(steps=1, optimizer="sgd"), torch.device("cpu"))
    optimizer.load({"a/exp_avg": torch.ones(2), "a/exp_avg_sq": torch.ones(2), "a/step": torch.ones(())})
    assert set(optimizer.state()) == {"a/momentum_buffer"}


ODD: Any = OptimizerGroup
FOREIGN = nn.Parameter(torch.zeros(3))


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        (OptimizerGroup, "it must return a list"),
        (lambda head: [head], "a Sequential; it must return a list of OptimizerGroup"),
        (
            lambda head: [ODD(head, "lion")],
            "optimizer is 'lion'; use one of: adam, adamw, sgd, muon",
        ),
        (lambda head: [OptimizerGroup(head, lr=-1.0)], "lr is -1.0; use lr > 0"),
        (lambda head: [ODD(head, schedule="linear")], "schedule is 'linear'"),
        (lambda head: [OptimizerGroup([FOREIGN])], r"a parameter of shape \(3,\) that is of something else"),
        (lambda head: [OptimizerGroup(head), OptimizerGroup(head)], "in a group already"),
        (lambda head: [OptimizerGroup([])], "without parameters"),
    ],
)
def test_groups_that_will_not_do_are_refused_in_a_sentence(groups: Any, told: str) -> None:
    class Odd(Adversary):
        def optimizers(self, head: Any) -> Any:
            return groups(head)

    with pytest.raises(InvalidInput, match=told):
        run(TASKS[0], helpers.task("Odd"), more=(Odd,))


@pytest.mark.parametrize(
    ("names", "told"),
    [(["mi"], "'mi', from which a group"), (["tc", "discriminator"], "leave one for the model")],
)
def test_groups_of_losses_that_are_not_there_are_refused(names: list[str], told: str) -> None:
    class Odd(Adversary):
        def optimizers(self, head: Any) -> Any:
            return [
                OptimizerGroup([one], loss=name) for name, one in zip(names, head.parameters(), strict=False)
            ]

    with pytest.raises(PluginFailed, match=told):
        run(TASKS[0], helpers.task("Odd"), more=(Odd,))

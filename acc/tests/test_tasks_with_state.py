"""What a task or model keeps is in the checkpoint and comes back to the bit; what no checkpoint holds is refused."""

from __future__ import annotations

import collections
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from acc.errors import PluginFailed
from acc.models import ConvVAE
from acc.specs import TrainJobSpec
from acc.tests import helpers
from acc.training.plugin_set import PluginSet
from acc.training.task import Task
from acc.training.trainer import Trainer

DATA = {"data": helpers.blobs(40, seed=1)}


class Reads(Task):
    """The mean square of the latent, which each test scales by something that it keeps."""

    def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
        return self.latent(output).square().mean() * self.factor(output)

    def factor(self, output: Any) -> Any:
        return 1.0


class CountsSteps(Reads):
    step = 0

    def factor(self, output: Any) -> Any:
        self.step += 1
        return self.step / 10


class KeepsMany(Reads):
    """A list, a queue, a dict, a tensor, an array and three generators."""

    def attach(self, spec: Any, dataset: Any, model: Any) -> None:
        super().attach(spec, dataset, model)
        self.history: list[float] = []
        self.queue: Any = collections.deque(maxlen=2)
        self.by_name = {"a": (1, 2.5)}
        self.mean, self.sums = torch.zeros(3), np.zeros(2)
        self.torch, self.numpy = torch.Generator().manual_seed(3), np.random.default_rng(4)

    def factor(self, output: Any) -> Any:
        value = float(output.z.detach().mean())
        self.history.append(value)
        self.queue.append(value)
        self.by_name["a"] = (self.by_name["a"][0] + 1, value)
        self.mean += value
        self.sums += self.numpy.random()
        drawn = float(torch.rand((), generator=self.torch)) + float(self.sums[0])
        return 1 + sum(self.queue) + self.by_name["a"][0] + float(self.mean.sum()) + drawn + len(self.history)


class OwnOptimizer(Reads):
    """A critic with its own Adam and schedule, made and stepped inside of compute_loss, as everybody writes it."""

    def build_head(self, in_dim: int, dataset: Any) -> Any:
        return nn.Linear(in_dim, 1)

    def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
        if not hasattr(self, "opt"):
            self.opt = torch.optim.Adam(head.parameters(), lr=1e-2)
            self.rate = torch.optim.lr_scheduler.StepLR(self.opt, 1, 0.9)
        z = self.latent(output)
        if self.training:
            self.opt.zero_grad()
            head(z.detach()).square().mean().backward()
            self.opt.step()
            self.rate.step()
            self.opt.zero_grad()
        return (z * head.weight.detach()).mean()


class MovingTarget(Reads):
    """A slow copy of a module that trains beside the head."""

    def attach(self, spec: Any, dataset: Any, model: Any) -> None:
        super().attach(spec, dataset, model)
        self.net, self.fast, self.slow = model, nn.Linear(8, 2), nn.Linear(8, 2)

    def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
        with torch.no_grad():
            for slow, fast in zip(self.slow.parameters(), self.fast.parameters(), strict=True):
                slow.lerp_(fast, 0.1)
            other = self.slow(self.net.encode(batch.images).mean)
        return (self.fast(self.latent(output)) - other).square().mean()


class LazyHead(Reads):
    def build_head(self, in_dim: int, dataset: Any) -> Any:
        return nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())

    def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
        return head(self.latent(output)).square().mean() + self.latent(output).mean()


class Bag:
    """An object of a plugin's own, which nobody knows how to write down."""

    def __init__(self) -> None:
        self.count = 0


class KeepsABag(Reads):
    def attach(self, spec: Any, dataset: Any, model: Any) -> None:
        super().attach(spec, dataset, model)
        self.bag = Bag()

    def factor(self, output: Any) -> Any:
        self.bag.count += 1
        return 1.0


class ListOfModules(Reads):
    def attach(self, spec: Any, dataset: Any, model: Any) -> None:
        super().attach(spec, dataset, model)
        self.nets = [nn.Linear(2, 2)]

    def factor(self, output: Any) -> Any:
        with torch.no_grad():
            self.nets[0].weight.mul_(0.9)
        return 1.0


class Iterates(Reads):
    numbers = itertools.count(1)

    def factor(self, output: Any) -> Any:
        return next(self.numbers)


class Grows(ConvVAE):
    """Appends to a buffer, so that its weights never fit a fresh one."""

    seen: torch.Tensor

    def __init__(self, spec: Any) -> None:
        super().__init__(spec)
        self.register_buffer("seen", torch.zeros(0))

    def posterior(self, x_BCHW: Any) -> Any:
        mean, logvar = super().posterior(x_BCHW)
        self.seen = torch.cat([self.seen, mean.detach().mean()[None]])
        return mean, logvar


class Warms(ConvVAE):
    """Scales its mean by how many passes it has made, a plain number."""

    passes = 0

    def posterior(self, x_BCHW: Any) -> Any:
        mean, logvar = super().posterior(x_BCHW)
        if self.training:
            self.passes += 1
        return mean * min(1.0, self.passes / 50), logvar


CLASSES = PluginSet(
    Reads,
    CountsSteps,
    KeepsMany,
    OwnOptimizer,
    MovingTarget,
    LazyHead,
    KeepsABag,
    ListOfModules,
    Iterates,
    Grows,
    Warms,
)
CLASSES.include(helpers.shipped_tasks())


def job_of(name: str, *, model: str = "ConvVAE", **train: Any) -> TrainJobSpec:
    task = helpers.task("reconstruction", key="own").model_copy(update={"task_class": name, "name": name})
    tasks = [helpers.task("reconstruction"), task]
    spec = helpers.model_spec(model, params={})
    return helpers.job(DATA, tasks, model=spec, **{"steps": 6, "checkpoint_every_steps": 3, **train})


def trained(spec: TrainJobSpec, **options: Any) -> Any:
    return helpers.run(spec, DATA, CLASSES, **options)[1]


@pytest.mark.parametrize("name", ["CountsSteps", "KeepsMany", "OwnOptimizer", "MovingTarget", "LazyHead"])
def test_what_a_task_keeps_comes_back_to_the_bit(name: str, tmp_path: Any) -> None:
    spec = job_of(name)
    whole = trained(spec)
    whole.at(3).write(tmp_path / "three")
    resumed = trained(spec, resume_from=tmp_path / "three")
    assert resumed.at(6).write(tmp_path / "resumed") == whole.at(6).write(tmp_path / "whole")
    half = trained(job_of(name, steps=3))
    on = trained(job_of(name, steps=3), start_from=half.last.checkpoint())
    tensors = whole.last.tensors
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in on.last.tensors.items())


def test_plain_values_of_a_model_come_back_too(tmp_path: Any) -> None:
    spec = job_of("Reads", model="Warms")
    whole = trained(spec)
    whole.at(3).write(tmp_path / "three")
    assert whole.at(3).header.state["model"] == {"passes": 3}
    resumed = trained(spec, resume_from=tmp_path / "three")
    assert resumed.at(6).write(tmp_path / "resumed") == whole.at(6).write(tmp_path / "whole")


def test_modules_beside_the_head_are_trained_and_an_own_optimizers_are_not() -> None:
    optimizer = Trainer(job_of("MovingTarget"), DATA, classes=CLASSES).optimizer
    assert "task.own.fast.weight/momentum" not in optimizer.state()
    names = set(optimizer._names.values())
    assert {"task.own.fast.weight", "task.own.slow.bias"} <= names
    assert not any(name.startswith("task.own.net") for name in names)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("KeepsABag", r"the attribute 'bag\.count' of task 'own' changes .* in no checkpoint"),
        ("ListOfModules", r"the attribute 'nets\[0\]\['weight'\]' of task 'own' changes .* nn\.ModuleList"),
        ("Iterates", r"would not go on as if nothing had happened: .* in the loss of task 'own'"),
    ],
)
def test_what_no_checkpoint_holds_is_refused_by_name_at_the_start(name: str, what: str) -> None:
    sink = helpers.KeepingSink()
    with pytest.raises(PluginFailed, match=what):
        helpers.run(job_of(name, steps=100), DATA, CLASSES, sink=sink)
    assert sink.checkpoints == []
    assert [block.count for block in sink.blocks] == [1]  # nothing but the first step was made


def test_a_buffer_that_grows_is_refused_before_it_costs_a_run() -> None:
    with pytest.raises(PluginFailed, match=r"could not be opened again: .*'seen'"):
        helpers.run(job_of("Reads", model="Grows", steps=100), DATA, CLASSES)


def test_the_proof_changes_nothing_that_comes_after_it() -> None:
    spec = helpers.job(DATA, model=helpers.model_spec("ConvVAE", params={}))
    ends = [helpers.run(spec, DATA, proof=proof)[1] for proof in (True, False)]
    one, other = (end.last for end in ends)
    assert one.header == other.header
    assert all(torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items())
    np.testing.assert_array_equal(ends[0].history()["total"], ends[1].history()["total"])


@pytest.mark.parametrize(("where", "kept"), [("decoder_stage", True), ("latent", False)])
def test_a_grown_model_trains_on_with_what_its_tasks_keep_if_that_still_fits(where: str, kept: bool) -> None:
    from acc.expansion import ExpansionSpec
    from acc.training.expansion import expand_checkpoint

    origin = trained(job_of("OwnOptimizer")).last.checkpoint()
    grown = expand_checkpoint(origin, ExpansionSpec(where=where), DATA, CLASSES)
    larger = grown.snapshot.checkpoint()
    spec = job_of("OwnOptimizer").model_copy(update={"model": larger.header.spec.model})
    trainer = Trainer(spec, DATA, classes=CLASSES, start_from=larger)
    task: Any = trainer.tasks.entries["own"].task
    steps = [int(state["step"]) for state in task.opt.state.values()] if hasattr(task, "opt") else []
    assert (6 in steps) is kept
    trained(spec, start_from=larger)


def test_a_task_that_cannot_be_measured_says_why_and_the_others_are() -> None:
    class StepsAlways(OwnOptimizer):
        def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
            self.training = True
            return super().compute_loss(output, batch, head)

    from acc.evaluation import evaluate_checkpoint

    kept = trained(job_of("OwnOptimizer")).last.checkpoint()
    found = evaluate_checkpoint(kept, DATA, CLASSES).metrics
    assert {metric.task_key: metric.value is not None for metric in found}["own"]
    broken = PluginSet(StepsAlways)
    broken._tasks["OwnOptimizer"] = StepsAlways
    broken.include(CLASSES)
    found = evaluate_checkpoint(kept, DATA, broken).metrics
    own = next(metric for metric in found if metric.task_key == "own")
    assert own.value is None
    assert "could not be measured: task 'own': StepsAlways failed, RuntimeError" in own.reason
    assert all(metric.value is not None for metric in found if metric.task_key != "own")

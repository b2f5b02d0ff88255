"""What a task or model keeps is in the checkpoint and comes back to the bit; what no checkpoint holds is refused."""

from __future__ import annotations

import collections
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from acc.errors import CheckpointError, PluginFailed
from acc.models import ConvVAE
from acc.params import Param
from acc.specs import TrainJobSpec
from acc.tests import helpers
from acc.training.checkpoints.restore import load_model
from acc.training.plugin_set import PluginSet
from acc.training.task import JointTask, Task
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


class MovesByData(Reads):
    """Moves a centre from the second step on, in a way that raises no version of the tensor."""

    def attach(self, spec: Any, dataset: Any, model: Any) -> None:
        super().attach(spec, dataset, model)
        self.center, self.steps = torch.zeros(()), 0

    def factor(self, output: Any) -> Any:
        self.steps += 1
        if self.steps > 2:
            self.center.data.add_(output.z.detach().mean() + 1)
        return 1 + self.center


class KeysAlike(Reads):
    """A dict whose keys look the same as text, and a key that is a number of numpy's."""

    def attach(self, spec: Any, dataset: Any, model: Any) -> None:
        super().attach(spec, dataset, model)
        self.sums: dict[Any, Any] = {1: torch.zeros(()), "1": torch.zeros(()), np.int64(2): 0}

    def factor(self, output: Any) -> Any:
        self.sums[1] = self.sums[1] + 1
        self.sums["1"] = self.sums["1"] - 1
        self.sums[np.int64(2)] += 1
        return 3 * self.sums[1] + self.sums["1"] + self.sums[2]


class GeneratorsInADict(Reads):
    def attach(self, spec: Any, dataset: Any, model: Any) -> None:
        super().attach(spec, dataset, model)
        self.rngs = {"a": np.random.default_rng(0)}

    def factor(self, output: Any) -> Any:
        return self.rngs["a"].random()


class TakesABagLater(Reads):
    """Takes what no checkpoint keeps when the proof is over, and keeps what it got."""

    steps = 0

    def factor(self, output: Any) -> Any:
        self.steps += 1
        if self.steps == 4:
            self.bag = Bag()
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
    MovesByData,
    KeysAlike,
    GeneratorsInADict,
    TakesABagLater,
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


@pytest.mark.parametrize(
    "name",
    ["CountsSteps", "KeepsMany", "OwnOptimizer", "MovingTarget", "LazyHead", "MovesByData", "KeysAlike"],
)
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
    optimizer = Trainer(job_of("MovingTarget"), DATA, classes=CLASSES).state.optimizer
    assert "task.own.fast.weight/momentum" not in optimizer.state()
    names = {name for arm in optimizer.arms for name in arm.optimizer._names.values()}
    assert {"task.own.fast.weight", "task.own.slow.bias"} <= names
    assert not any(name.startswith("task.own.net") for name in names)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("KeepsABag", r"the attribute 'bag\.count' of task 'own' changes .* in no checkpoint"),
        ("ListOfModules", r"the attribute 'nets\[0\]\['weight'\]' of task 'own' changes .* nn\.ModuleList"),
        ("GeneratorsInADict", r"the attribute 'rngs\['a'\].*' of task 'own' changes .* in no checkpoint"),
        ("Iterates", r"would not go on as if nothing had happened: .* in the loss of task 'own'"),
    ],
)
def test_what_no_checkpoint_holds_is_refused_by_name_at_the_start(name: str, what: str) -> None:
    sink = helpers.KeepingSink()
    with pytest.raises(PluginFailed, match=what):
        helpers.run(job_of(name, steps=100), DATA, CLASSES, sink=sink)
    assert sink.checkpoints == []
    assert [block.count for block in sink.blocks] == [1]  # nothing but the first step was made


def test_what_appears_after_the_proof_and_cannot_be_kept_raises_one_alarm_that_names_it() -> None:
    sink = helpers.KeepingSink()
    helpers.run(job_of("TakesABagLater", steps=8, checkpoint_every_steps=2), DATA, CLASSES, sink=sink)
    (alarm,) = [alarm for alarm in sink.alarms if alarm.kind == "proof"]
    assert alarm.step == 4
    assert alarm.message.startswith("the attribute 'bag' of task 'own' is of a kind that no checkpoint keeps")


def test_arrays_of_the_dataset_that_a_task_refers_to_are_neither_copied_nor_kept() -> None:
    class Refers(Reads):
        def attach(self, spec: Any, dataset: Any, model: Any) -> None:
            super().attach(spec, dataset, model)
            self.images, self.columns = dataset.images, [dataset.targets["size"]]

    classes = PluginSet(Refers)
    classes.include(CLASSES)
    trainer = Trainer(job_of("Refers"), DATA, classes=classes)
    made = trainer.tasks.entries["own"].extra._made
    assert made["images"][1] is DATA["data"].images
    assert made["columns"][1][0] is DATA["data"].targets["size"]
    assert not trainer.snapshot().header.state


@pytest.mark.parametrize(
    "state",
    [
        {"__class__.__base__.__base__.forward": "gone"},
        {"encode": 5},
        {"_modules": {"is": "dict", "of": []}},
        {"fourier.forward.__globals__": 5},
        {"passes": {"is": "tensor"}},
        {"passes": {"is": "tensor", "at": "nowhere", "on": "cpu"}},
        {"passes": {"is": "nothing"}},
        {"passes": {"is": "list", "of": 5}},
    ],
)
def test_a_file_changes_no_attribute_but_what_a_model_keeps(state: dict[str, Any], tmp_path: Any) -> None:
    import dataclasses

    import acc

    forward, encode = nn.Module.forward, ConvVAE.encode
    spec = helpers.job(DATA, model=helpers.model_spec("ConvVAE", params={}))
    snapshot = Trainer(spec, DATA, classes=CLASSES).snapshot()
    header = dataclasses.replace(snapshot.header, state={"model": state})
    dataclasses.replace(snapshot, header=header).write(tmp_path / "file.safetensors")
    with pytest.raises(CheckpointError):
        acc.load(tmp_path / "file.safetensors")
    assert (nn.Module.forward, ConvVAE.encode) == (forward, encode)


@pytest.mark.filterwarnings("ignore:.*which is a no-op")
def test_plain_tensors_of_a_model_come_to_the_device_that_the_model_is_on() -> None:
    import dataclasses

    spec = helpers.job(DATA, model=helpers.model_spec("ConvVAE", params={}))
    trainer = Trainer(spec, DATA, classes=CLASSES)
    kept = trainer.snapshot().checkpoint()
    state = {"model": {"mean": {"is": "tensor", "at": "state.model.mean", "on": "device"}}}
    kept = dataclasses.replace(
        kept,
        header=dataclasses.replace(kept.header, state=state),
        tensors={**kept.tensors, "state.model.mean": torch.ones(2)},
    )
    model: Any = trainer.model.to("meta")
    load_model(model, kept)
    assert model.mean.device.type == "meta"


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
    from acc.training.checkpoints.expand import expand_checkpoint

    origin = trained(job_of("OwnOptimizer")).last.checkpoint()
    grown = expand_checkpoint(origin, ExpansionSpec(where=where), DATA, CLASSES)
    larger = grown.snapshot.checkpoint()
    spec = job_of("OwnOptimizer").model_copy(update={"model": larger.header.spec.model})
    trainer = Trainer(spec, DATA, classes=CLASSES, start_from=larger)
    task: Any = trainer.tasks.entries["own"].task
    steps = [int(state["step"]) for state in task.opt.state.values()] if hasattr(task, "opt") else []
    assert (6 in steps) is kept
    trained(spec, start_from=larger)


class Breaks(Reads):
    """Raises while a checkpoint is measured, in each of the methods that are asked then."""

    where = Param("evaluate", choices=("evaluate", "summarise", "baseline"))

    def evaluate(self, output: Any, batch: Any, head: Any) -> Any:
        self.asked("evaluate")
        return {"n": 1.0, "sum": 2.0}

    def summarise(self, sums: Any) -> Any:
        self.asked("summarise")
        return {"sum": 2.0}

    def baseline(self, rows: Any, held_out: Any = None) -> Any:
        if held_out is not None:
            self.asked("baseline")

    def asked(self, name: str) -> None:
        if self.where == name:
            raise ValueError("boom")


class BreaksJoint(JointTask):
    where = Param("compute", choices=("compute", "evaluate", "summarise"))

    def compute_joint_loss(self, own: Any, others: Any, head: Any) -> Any:
        self.asked("" if self.training else "compute")
        return own.output.z.square().mean()

    def evaluate_joint(self, own: Any, others: Any) -> Any:
        self.asked("evaluate")
        return {"n": 1.0, "sum": 2.0}

    def summarise(self, sums: Any) -> Any:
        self.asked("summarise")
        return {"sum": 2.0}

    def asked(self, name: str) -> None:
        if self.where == name:
            raise ValueError("boom")


@pytest.mark.parametrize(
    ("name", "where"),
    [
        *(("Breaks", where) for where in ("evaluate", "summarise", "baseline")),
        *(("BreaksJoint", where) for where in ("compute", "evaluate", "summarise")),
    ],
)
def test_whatever_of_a_task_raises_in_an_evaluation_the_others_are_measured(name: str, where: str) -> None:
    from acc.evaluation import evaluate_checkpoint

    classes = PluginSet(Breaks, BreaksJoint)
    classes.include(CLASSES)
    spec = job_of(name)
    tasks = (spec.tasks[0], spec.tasks[1].model_copy(update={"params": {"where": where}}))
    trainer = Trainer(spec.model_copy(update={"tasks": tasks}), DATA, classes=classes)
    found = evaluate_checkpoint(trainer.snapshot().checkpoint(), DATA, classes).metrics
    own = next(metric for metric in found if metric.task_key == "own")
    assert own.value is None
    assert own.reason.startswith(
        f"it could not be measured: task 'own': {name} failed, ValueError: boom (test_tasks_with_state.py, line"
    )
    assert all(metric.value is not None for metric in found if metric.task_key != "own")


def test_what_a_task_does_to_the_model_in_its_first_step_is_not_done_when_it_is_measured() -> None:
    class BeginsTheModel(OwnOptimizer):
        def attach(self, spec: Any, dataset: Any, model: Any) -> None:
            super().attach(spec, dataset, model)
            self.net = model

        def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
            if not hasattr(self, "opt"):
                next(self.net.parameters()).data.zero_()
            return super().compute_loss(output, batch, head)

    from acc.evaluation.evaluator import FactoringEvaluator

    classes = PluginSet(BeginsTheModel)
    classes.include(CLASSES)
    _, sink = helpers.run(job_of("BeginsTheModel"), DATA, classes)
    kept = sink.last.checkpoint()
    evaluator = FactoringEvaluator(kept, DATA, classes, device="cpu")
    evaluator.metrics()
    model = evaluator.model.state_dict()
    assert [name for name, value in kept.part("model").items() if not torch.equal(value, model[name])] == []


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

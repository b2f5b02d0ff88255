"""A task may return several losses by name: each is a series, and their weighted sum is what it trains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from acc.errors import PluginFailed, TrainingFailed
from acc.params import Param
from acc.tests import helpers
from acc.training.plugin_set import PluginSet
from acc.training.run import MemorySink
from acc.training.task import Task
from acc.training.trainer import Trainer

DATA = {"data": helpers.blobs(40, seed=1)}


class Two(Task):
    """A loss of the mean, one of the spread, and a number that counts for nothing."""

    spread = Param(0.5, min=0, max=10, help="weight of the spread")

    @property
    def part_weights(self) -> dict[str, float]:  # type: ignore[override]
        return {"spread": self.spread, "told": 0.0}

    def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
        mean = output.mean
        return {
            "mean": mean.square().mean(),
            "spread": (mean.var(0) - 1).square().mean(),
            "told": mean.detach().abs().max(),
        }


def run(*tasks: Any, sink: MemorySink | None = None, more: tuple[type, ...] = (), **fields: Any) -> Trainer:
    begin = {name: fields.pop(name) for name in ("start_from", "proof") if name in fields}
    found = helpers.shipped_tasks()
    found.add(Two, *more)
    trainer = Trainer(
        helpers.job(DATA, tasks, **fields), DATA, classes=found, sink=sink, device="cpu", **begin
    )
    trainer.run()
    return trainer


def curves(sink: MemorySink) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for block in sink.blocks:
        for name, row in zip(block.series, block.values, strict=True):
            found.setdefault(name, []).append(row)
    return {name: np.concatenate(rows) for name, rows in found.items()}


def test_each_loss_is_a_series_and_their_weighted_sum_the_task_s() -> None:
    sink = MemorySink()
    run(helpers.task("reconstruction"), helpers.task("Two", weight=2.0), sink=sink, steps=6)
    of = curves(sink)
    assert [name for name in of if name.startswith("part/")] == [
        "part/two/mean",
        "part/two/spread",
        "part/two/told",
    ]
    np.testing.assert_allclose(of["raw/two"], of["part/two/mean"] + 0.5 * of["part/two/spread"], rtol=1e-6)
    np.testing.assert_allclose(of["weighted/two"], 2 * of["raw/two"], rtol=1e-6)
    assert (of["part/two/told"] > 0).all()


def test_the_job_may_weigh_them_otherwise() -> None:
    sink = MemorySink()
    run(helpers.task("Two", part_weights={"spread": 3.0}), sink=sink, steps=3)
    of = curves(sink)
    np.testing.assert_allclose(of["raw/two"], of["part/two/mean"] + 3 * of["part/two/spread"], rtol=1e-6)


def test_a_task_that_was_not_drawn_has_no_value_there() -> None:
    sink = MemorySink()
    run(helpers.task("reconstruction"), helpers.task("Two"), sink=sink, steps=30, schedule="sampled")
    of = curves(sink)
    there = ~np.isnan(of["raw/two"])
    assert 0 < there.sum() < 30
    at = [
        np.concatenate(
            [b.values[b.series.index("part/two/mean")] for b in sink.blocks if "part/two/mean" in b.series]
        )
    ]
    assert (~np.isnan(at[0])).sum() == there.sum()


def test_batches_that_are_divided_give_the_mean_of_each() -> None:
    sink, whole = MemorySink(), MemorySink()
    run(helpers.task("Two"), sink=sink, steps=2, accumulate=2, batch_size=8, proof=False)
    assert "part/two/mean" in curves(sink)
    of = curves(sink)
    np.testing.assert_allclose(of["raw/two"], of["part/two/mean"] + 0.5 * of["part/two/spread"], rtol=1e-5)
    assert not whole.blocks


def test_a_job_taken_up_again_goes_on_to_the_bit() -> None:
    tasks = [helpers.task("reconstruction"), helpers.task("Two")]
    whole = run(*tasks, steps=6).snapshot()
    again = run(*tasks, steps=3, start_from=run(*tasks, steps=3).snapshot().checkpoint()).snapshot()
    assert [name for name, one in whole.tensors.items() if not torch.equal(one, again.tensors[name])] == []


class Changes(Task):
    calls = 0

    def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
        self.calls += 1
        loss = output.mean.square().mean()
        return {"a": loss} if self.calls < 3 else {"b": loss}


class OddName(Task):
    def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
        return {"Total Correlation": output.mean.square().mean()}


class NoScalar(Task):
    def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
        return {"a": output.mean.square().mean(), "b": output.mean}


class Empty(Task):
    def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
        return {}


@pytest.mark.parametrize(
    ("cls", "told"),
    [
        (Changes, "returned the losses b, and before a; the names must be the same in every step"),
        (OddName, "returned a loss called 'Total Correlation'; use a-z, 0-9"),
        (NoScalar, "returned as 'b' a tensor of shape"),
        (Empty, "returned an empty dict"),
    ],
)
def test_losses_that_will_not_do_are_refused_in_a_sentence(cls: type, told: str) -> None:
    with pytest.raises(PluginFailed) as refused:
        run(helpers.task(cls.__name__), more=(cls,), steps=5, proof=False)
    assert told in str(refused.value)


def test_a_weight_of_a_loss_that_is_not_there_is_refused() -> None:
    with pytest.raises(PluginFailed, match="'mi', for which there is a part weight, is none of them"):
        run(helpers.task("Two", part_weights={"mi": 1.0}))


class Breaks(Task):
    def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
        loss = output.mean.square().mean()
        return {"sound": loss, "broken": loss * float("nan")}


def test_a_loss_that_is_no_finite_number_is_named() -> None:
    from acc.errors import TrainingFailed

    with pytest.raises((PluginFailed, TrainingFailed)) as failed:
        run(helpers.task("Breaks"), more=(Breaks,), steps=3, proof=False)
    assert "Breaks" in str(failed.value) or "breaks" in str(failed.value)


def test_one_class_with_one_method_is_a_task() -> None:
    class Shortest(Task):
        def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
            return self.latent(output).square().mean()

    assert run(helpers.task("Shortest"), more=(Shortest,), steps=2).step == 2
    assert PluginSet(Shortest).task("Shortest") is Shortest


def test_the_graph_of_a_loss_is_let_go_with_its_step() -> None:
    trainer = run(helpers.task("Two"), steps=3)
    (entry,) = trainer.state.tasks.entries.values()
    assert len(entry.parts) == 3
    assert not any(part.requires_grad for part in entry.parts)


class Worsens(Task):
    """Two losses, of which the second explodes or ends, from the fortieth update on; a third counts for nothing."""

    how = Param("explodes", choices=("explodes", "ends"))
    part_weights = {"told": 0.0}

    def compute_loss(self, output: Any, batch: Any, head: Any, step: Any) -> Any:
        size = output.mean.square().mean()
        late = max(0, step.step - 40)
        second = size / 0.0 if late and self.how == "ends" else size * (1.0 + 1e3 * late)
        return {"steady": size, "second": second, "told": size.detach() * (1 + 1e6 * late)}


def test_an_alarm_names_the_loss_that_is_at_fault() -> None:
    sink = MemorySink()
    few: dict[str, Any] = {"steps": 120, "lr": 1e-5, "batch_size": 8}
    run(helpers.task("Worsens", weight=2.0), sink=sink, more=(Worsens,), **few)
    told = [alarm for alarm in sink.alarms if alarm.kind == "divergence"]
    assert told
    assert "the loss of task 'worsens' (weight 2) diverges" in told[0].message
    assert "; of its losses 'second' rose most, from " in told[0].message
    assert told[0].series == "raw/worsens"

    ended = MemorySink()
    broken = helpers.task("Worsens", weight=2.0, params={"how": "ends"})
    with pytest.raises(
        TrainingFailed, match=r"the loss 'second' of task 'worsens' \(weight 2\) was no longer a finite"
    ):
        run(broken, sink=ended, more=(Worsens,), **few)
    skipped = MemorySink()
    run(broken, sink=skipped, more=(Worsens,), **{**few, "steps": 50, "on_nan": "skip"})
    (alarm, *_) = [alarm for alarm in skipped.alarms if alarm.kind == "nan"]
    assert (alarm.step, alarm.series) == (41, "part/worsens/second")

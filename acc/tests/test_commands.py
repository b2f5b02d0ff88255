"""A job is steered between two steps: every command is applied or refused with a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from acc.data import AccDataset
from acc.tests import helpers
from acc.training.losses import series
from acc.training.trainer import Trainer, TrainResult


def steered(
    dataset: AccDataset, script: helpers.Script, tasks: list[Any] | None = None, **train: Any
) -> tuple[Trainer, helpers.KeepingSink, TrainResult]:
    datasets = {"data": dataset}
    sink = helpers.KeepingSink()
    trainer = Trainer(
        helpers.job(datasets, tasks, **{"steps": 10, **train}),
        datasets,
        classes=helpers.shipped_tasks(),
        sink=sink,
        control=script,
    )
    return trainer, sink, trainer.run()


def answer(sink: helpers.KeepingSink, number: int = 0) -> tuple[int, bool, str, str]:
    result = sink.commands[number]
    return result.step, result.ok, result.field, result.message


def test_a_new_weight_counts_from_the_step_it_is_applied_before(dataset: AccDataset) -> None:
    script = helpers.Script({4: [("set_weight", {"task": "classification", "weight": 7.0})]})
    trainer, sink, _ = steered(dataset, script)
    history = sink.history()
    ratio = history[series.weighted("classification")] / history[series.raw("classification")]
    np.testing.assert_allclose(ratio, [1.0] * 4 + [7.0] * 6, rtol=1e-5)
    assert answer(sink) == (4, True, "", "")
    assert sink.last.header.spec.tasks[2].weight == 7.0
    assert trainer.state.job.tasks[2].weight == 1.0


def test_a_task_switched_off_has_no_points_and_its_head_stays_as_it_was(dataset: AccDataset) -> None:
    script = helpers.Script(
        {
            3: [("set_enabled", {"task": "regression", "enabled": False})],
            7: [("set_enabled", {"task": "regression", "enabled": True})],
        }
    )
    _, sink, _ = steered(dataset, script, checkpoint_every_steps=1)
    raw = sink.history()[series.raw("regression")]
    assert np.isnan(raw).tolist() == [False] * 3 + [True] * 4 + [False] * 3
    head = "head.regression.layers.weight"
    assert torch.equal(sink.at(3).tensors[head], sink.at(7).tensors[head])
    assert not torch.equal(sink.at(7).tensors[head], sink.at(8).tensors[head])
    assert sink.at(10).header.ages == {"reconstruction": 10, "kl": 10, "classification": 10, "regression": 6}


def test_a_new_learning_rate_counts_from_the_next_step(dataset: AccDataset) -> None:
    _, sink, _ = steered(dataset, helpers.Script({5: [("set_lr", {"lr": 1e-4})]}))
    np.testing.assert_allclose(sink.history()[series.LEARNING_RATE], [2e-3] * 5 + [1e-4] * 5)
    assert sink.last.header.lr == 1e-4


def test_a_gradient_is_clipped_from_the_next_step_on_and_so_is_that_of_a_run_taken_up_again(
    dataset: AccDataset,
) -> None:
    script = helpers.Script({4: [("set_clip", {"grad_clip_norm": 0.01})]})
    plan: dict[str, Any] = {"optimizer": "sgd", "lr": 0.1, "weight_decay": 0, "checkpoint_every_steps": 1}
    _, whole, _ = steered(dataset, script, **plan)
    _, plain, _ = steered(dataset, helpers.Script({}), **plan)
    assert whole.commands[0].ok
    before, after = plain.at(5).tensors, whole.at(5).tensors
    assert whole.at(4).header.grad_clip_norm is None
    assert all(torch.equal(tensor, whole.at(4).tensors[name]) for name, tensor in plain.at(4).tensors.items())
    assert any(not torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert whole.last.header.grad_clip_norm == 0.01
    assert whole.last.header.spec.train.grad_clip_norm is None, "as it was asked for at first"

    resumed = helpers.KeepingSink()
    datasets = {"data": dataset}
    Trainer(
        helpers.job(datasets, **{"steps": 10, **plan}),
        datasets,
        classes=helpers.shipped_tasks(),
        sink=resumed,
        resume_from=whole.at(6).checkpoint(),
    ).run()
    assert all(torch.equal(tensor, resumed.last.tensors[name]) for name, tensor in whole.last.tensors.items())


def test_clipping_is_switched_off_by_null(dataset: AccDataset) -> None:
    off = ("set_clip", {"grad_clip_norm": None})
    _, sink, _ = steered(dataset, helpers.Script({4: [off]}), grad_clip_norm=0.5)
    assert sink.commands[0].ok
    assert sink.last.header.grad_clip_norm is None


def test_a_task_is_added_with_the_state_of_the_others_kept(dataset: AccDataset) -> None:
    tasks = [helpers.task("reconstruction"), helpers.task("kl", weight=0.01)]
    new = helpers.task("classification", factor="digit").model_dump(mode="json")
    _, sink, _ = steered(dataset, helpers.Script({6: [("add_task", {"task": new})]}), tasks)
    history = sink.history()
    assert np.isnan(history[series.raw("classification")]).tolist() == [True] * 6 + [False] * 4
    tensors, header = sink.last.tensors, sink.last.header
    assert float(tensors["optim.model.decoder.query_CP/step"]) == 10
    assert float(tensors["optim.head.classification.weight/step"]) == 4
    assert [task.key for task in header.spec.tasks] == ["reconstruction", "kl", "classification"]
    assert header.ages["classification"] == 4
    assert "ClassificationTask" in header.plugins


def test_an_added_task_starts_with_the_head_it_would_have_had_from_the_start(dataset: AccDataset) -> None:
    tasks = [helpers.task("reconstruction")]
    new = helpers.task("classification", weight=0)
    script = helpers.Script({2: [("add_task", {"task": new.model_dump()})]})
    _, sink, _ = steered(dataset, script, tasks, weight_decay=0)
    first = Trainer(
        helpers.job({"data": dataset}, [*tasks, new]), {"data": dataset}, classes=helpers.shipped_tasks()
    )
    head = first.tasks.entries["classification"].head
    assert head is not None
    for name, tensor in head.state_dict().items():
        assert torch.equal(sink.last.tensors[f"head.classification.{name}"], tensor)


def test_a_removed_task_leaves_nothing_behind_and_the_others_go_on(dataset: AccDataset) -> None:
    script = helpers.Script({4: [("remove_task", {"task": "classification"})]})
    _, sink, _ = steered(dataset, script)
    snapshot = sink.last
    assert not [name for name in snapshot.tensors if "classification" in name]
    assert float(snapshot.tensors["optim.head.regression.layers.weight/step"]) == 10
    assert np.isnan(sink.history()[series.raw("classification")]).tolist() == [False] * 4 + [True] * 6


@pytest.mark.parametrize(
    ("kind", "payload", "field", "words"),
    [
        (
            "set_weight",
            {"task": "none", "weight": 1},
            "task",
            "'none' is not a task of this job; it has: reconstruction",
        ),
        ("set_weight", {"task": "kl", "weight": -1}, "weight", "-1 is refused"),
        ("set_weight", {"task": "kl"}, "weight", "missing"),
        ("set_weight", {}, "task", "None is not a task"),
        ("set_enabled", {"task": "kl", "enabled": "perhaps"}, "enabled", "'perhaps' is refused"),
        ("set_lr", {"lr": 0}, "lr", "0 is refused"),
        ("set_lr", {}, "lr", "None is refused"),
        ("set_clip", {"grad_clip_norm": 0}, "grad_clip_norm", "0 is refused"),
        ("set_clip", {}, "grad_clip_norm", "missing"),
        ("add_task", {"task": {"key": "x"}}, "name", "a value is needed here; none was given"),
        ("add_task", {}, "__all__", ""),
        ("add_task", {"task": helpers.task("kl").model_dump()}, "key", "'kl' is taken"),
        (
            "add_task",
            {"task": helpers.task("kl", key="k2", dataset="b").model_dump()},
            "dataset",
            "'b' is not loaded",
        ),
        (
            "add_task",
            {"task": helpers.task("Nothing").model_dump()},
            "task_class",
            "'Nothing' is not a known task",
        ),
        ("remove_task", {"task": 7}, "task", "7 is not a task"),
    ],
)
def test_a_command_that_does_not_fit_is_refused_and_changes_nothing(
    dataset: AccDataset, kind: str, payload: dict[str, Any], field: str, words: str
) -> None:
    _, sink, result = steered(dataset, helpers.Script({3: [(kind, payload)]}), steps=5)
    step, ok, found, message = answer(sink)
    assert (step, ok, found) == (3, False, field)
    assert words in message
    assert result.status == "completed"
    _, plain, _ = steered(dataset, helpers.Script({}), steps=5)
    for name, tensor in plain.last.tensors.items():
        assert torch.equal(tensor, sink.last.tensors[name]), name
    assert sink.last.header == plain.last.header


@pytest.mark.parametrize("kind", ["set_enabled", "remove_task"])
def test_the_last_enabled_task_cannot_be_taken_away(dataset: AccDataset, kind: str) -> None:
    tasks = [helpers.task("reconstruction"), helpers.task("kl", enabled=False)]
    payload = (
        {"task": "reconstruction", "enabled": False} if kind == "set_enabled" else {"task": "reconstruction"}
    )
    trainer, sink, result = steered(dataset, helpers.Script({2: [(kind, payload)]}), tasks)
    assert answer(sink)[1] is False
    assert result.step == 10
    assert [entry.spec.key for entry in trainer.tasks.enabled] == ["reconstruction"]


def test_the_last_weight_of_a_sampled_schedule_cannot_become_zero(dataset: AccDataset) -> None:
    tasks = [helpers.task("reconstruction"), helpers.task("kl", weight=0)]
    script = helpers.Script({2: [("set_weight", {"task": "reconstruction", "weight": 0})]})
    _, sink, _ = steered(dataset, script, tasks, schedule="sampled")
    assert answer(sink)[1:3] == (False, "weight")


def test_a_task_whose_head_cannot_be_built_is_refused_and_training_goes_on(dataset: AccDataset) -> None:
    classes = helpers.shipped_tasks()
    base = classes.task("ClassificationTask")

    class BrokenTask(base):  # type: ignore[misc, valid-type]
        def build_head(self, in_dim: int, dataset: AccDataset) -> torch.nn.Module:
            raise ZeroDivisionError("no head today")

    classes.add(BrokenTask)
    datasets = {"data": dataset}
    sink = helpers.KeepingSink()
    script = helpers.Script({2: [("add_task", {"task": helpers.task("BrokenTask").model_dump()})]})
    trainer = Trainer(helpers.job(datasets), datasets, classes=classes, sink=sink, control=script)
    assert trainer.run().step == 8
    assert answer(sink) == (2, False, "", "add_task was refused: ZeroDivisionError: no head today")
    assert "brokentask" not in trainer.tasks.entries


@pytest.mark.parametrize(("kind", "status"), [("stop", "stopped"), ("drain", "drained")])
def test_stop_and_drain_end_the_run_with_a_checkpoint_of_the_step_reached(
    dataset: AccDataset, kind: str, status: str
) -> None:
    _, sink, result = steered(dataset, helpers.Script({5: [(kind, {})]}))
    assert (result.status, result.step) == (status, 5)
    assert [(snapshot.step, reason) for snapshot, reason in sink.checkpoints] == [(5, status)]
    assert len(sink.history()[series.TOTAL]) == 5
    assert answer(sink) == (5, True, "", "")


def test_a_paused_job_waits_and_is_steered_and_ends_as_if_it_had_not_waited(dataset: AccDataset) -> None:
    def push(script: helpers.Script) -> None:
        if script.waits == 2:
            script.pushed = [("set_weight", {"task": "kl", "weight": 0.02})]
        elif script.waits == 4:
            script.pushed = [("resume", {})]

    script = helpers.Script({5: [("pause", {})]})
    script.on_wait = push
    _, sink, result = steered(dataset, script)
    assert script.waits == 4
    assert [result.command.kind for result in sink.commands] == ["pause", "set_weight", "resume"]
    assert {result.step for result in sink.commands} == {5}
    assert result.step == 10
    direct = helpers.Script({5: [("set_weight", {"task": "kl", "weight": 0.02})]})
    _, reference, _ = steered(dataset, direct)
    np.testing.assert_array_equal(sink.history()[series.TOTAL], reference.history()[series.TOTAL])


def test_a_paused_job_can_be_stopped(dataset: AccDataset) -> None:
    script = helpers.Script({5: [("pause", {})]})
    script.on_wait = lambda own: own.pushed.append(("stop", {}))
    _, sink, result = steered(dataset, script)
    assert (result.status, result.step) == ("stopped", 5)
    assert [found.command.kind for found in sink.commands] == ["pause", "stop"]


def test_all_points_before_a_command_reach_the_sink_before_its_answer(dataset: AccDataset) -> None:
    events: list[tuple[str, int]] = []

    class Ordered(helpers.KeepingSink):
        def on_block(self, block: Any) -> None:
            super().on_block(block)
            events.append(("points", block.start + block.count))

        def on_command(self, result: Any) -> None:
            super().on_command(result)
            events.append(("command", result.step))

    datasets = {"data": dataset}
    script = helpers.Script({4: [("set_lr", {"lr": 1e-3})], 6: [("stop", {})]})
    Trainer(
        helpers.job(datasets), datasets, classes=helpers.shipped_tasks(), sink=Ordered(), control=script
    ).run()
    for kind, step in (("command", 4), ("command", 6)):
        position = events.index((kind, step))
        assert ("points", step) in events[:position]


def test_commands_survive_a_resume_when_they_are_replayed_at_their_step(dataset: AccDataset) -> None:
    datasets = {"data": dataset}
    commands: dict[int, list[tuple[str, dict[str, Any]]]] = {
        3: [("set_weight", {"task": "kl", "weight": 0.5})],
        6: [("remove_task", {"task": "regression"})],
        7: [("set_clip", {"grad_clip_norm": 0.1})],
        8: [("set_lr", {"lr": 1e-3})],
    }
    _, whole, _ = steered(dataset, helpers.Script(commands), checkpoint_every_steps=5)
    sink = helpers.KeepingSink()
    Trainer(
        helpers.job(datasets, steps=10, checkpoint_every_steps=5),
        datasets,
        classes=helpers.shipped_tasks(),
        sink=sink,
        control=helpers.Script({step: found for step, found in commands.items() if step >= 5}),
        resume_from=whole.at(5).checkpoint(),
    ).run()
    ours, theirs = sink.at(10), whole.at(10)
    assert ours.header == theirs.header
    assert all(torch.equal(ours.tensors[name], theirs.tensors[name]) for name in theirs.tensors)

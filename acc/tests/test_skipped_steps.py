"""With on_nan='skip' a step that is no finite number leaves no trace but its count, its alarm and its gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acc.data import AccDataset
from acc.errors import TrainingFailed
from acc.tests import helpers
from acc.training.plugin_set import PluginSet

OPTIMIZERS = ["adamw", "adam", "sgd"]


def breaking(at: range, how: str) -> PluginSet:
    """Return the shipped tasks and BreakingTask, a KL that breaks at the calls ``at``, counted from 0."""
    classes = helpers.shipped_tasks()

    class BreakingTask(classes.task("KLDivergenceTask")):  # type: ignore[misc]
        calls = -1

        def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
            loss = super().compute_loss(output, batch, head)
            self.calls += 1
            if self.calls not in at:
                return loss
            # The second is finite while its gradient, that of a root at 0, is not.
            return loss / 0.0 if how == "loss" else loss + torch.sqrt(loss - loss)

    classes.add(BreakingTask)
    return classes


def spec_on(datasets: dict[str, AccDataset], **train: Any) -> Any:
    tasks = [helpers.task("reconstruction"), helpers.task("BreakingTask", key="boom")]
    return helpers.job(datasets, tasks, **{"steps": 12, "batch_size": 16, "on_nan": "skip", **train})


@pytest.mark.parametrize("how", ["loss", "gradient"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_broken_step_changes_no_weight_and_no_moment(dataset: AccDataset, optimizer: str, how: str) -> None:
    datasets = {"data": dataset}
    spec = spec_on(datasets, optimizer=optimizer, lr=1e-3, checkpoint_every_steps=1, grad_clip_norm=None)
    trainer, sink = helpers.run(spec, datasets, breaking(range(6, 8), how))
    before, after, later = (sink.at(step).tensors for step in (6, 8, 9))
    learnt = [name for name in before if name.startswith(("model.", "optim."))]
    assert learnt
    for name in learnt:
        assert torch.equal(before[name], after[name]), name
        assert torch.isfinite(later[name]).all(), name
    assert any(not torch.equal(after[name], later[name]) for name in learnt)
    assert (trainer.step, trainer.skipped) == (12, 2)
    history = sink.history()
    broken = history["total"] if how == "loss" else history["grad_norm"]
    assert np.flatnonzero(~np.isfinite(broken)).tolist() == [6, 7]


def test_skipping_costs_nothing_where_nothing_breaks(dataset: AccDataset) -> None:
    datasets = {"data": dataset}
    _, stopping = helpers.run(spec_on(datasets, on_nan="stop"), datasets, breaking(range(0), "loss"))
    _, skipping = helpers.run(spec_on(datasets), datasets, breaking(range(0), "loss"))
    weights = stopping.at(12).tensors
    for name, tensor in skipping.at(12).tensors.items():
        assert torch.equal(tensor, weights[name]), name


def test_alarms_come_at_the_first_the_tenth_and_the_hundredth(dataset: AccDataset) -> None:
    datasets = {"data": dataset}
    sink = helpers.run(spec_on(datasets, steps=30), datasets, breaking(range(3, 20), "loss"))[1]
    alarms = [alarm for alarm in sink.alarms if alarm.kind == "nan"]
    assert [(alarm.step, alarm.series) for alarm in alarms] == [(3, "raw/boom"), (12, "raw/boom")]
    assert "its update was skipped, 10 of this job so far" in alarms[1].message


def test_a_run_that_only_breaks_fails_in_the_end(
    dataset: AccDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acc.training.trainer.MAX_SKIPPED_IN_A_ROW", 5)
    datasets = {"data": dataset}
    with pytest.raises(TrainingFailed, match="for 5 steps in a row") as failed:
        helpers.run(spec_on(datasets, steps=30), datasets, breaking(range(2, 99), "loss"))
    assert failed.value.step == 6


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resume_amid_broken_steps_is_exact(dataset: AccDataset, optimizer: str, tmp_path: Path) -> None:
    datasets = {"data": dataset}
    spec = spec_on(datasets, optimizer=optimizer, lr=1e-3, checkpoint_every_steps=7)
    whole = helpers.run(spec, datasets, breaking(range(5, 9), "loss"))[1]
    whole.at(7).write(tmp_path / "7")
    trainer, resumed = helpers.run(spec, datasets, breaking(range(5, 9), "loss"), resume_from=tmp_path / "7")
    assert trainer.skipped == 4
    assert resumed.at(12).write(tmp_path / "resumed") == whole.at(12).write(tmp_path / "whole")


def test_a_broken_step_moves_no_buffer_of_model_head_or_task(dataset: AccDataset) -> None:
    classes = breaking(range(6, 8), "loss")

    class Follows(classes.task("RegressionTask")):  # type: ignore[misc]
        """Keeps a mean of what it has seen, in a buffer of its head and in one of its own."""

        def attach(self, *given: Any) -> None:
            super().attach(*given)
            self.kept = torch.nn.BatchNorm1d(1, affine=False)

        def build_head(self, in_dim: int, dataset: AccDataset) -> Any:
            head = super().build_head(in_dim, dataset)
            head.register_buffer("seen", torch.zeros(()))
            return head

        def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
            breaks = 6 <= self.calls < 8
            self.calls += 1
            with torch.no_grad():
                head.seen.lerp_(self.latent(output).mean() / (0.0 if breaks else 1.0), 0.5)
                self.kept(self.latent(output)[:, :1] + (torch.nan if breaks else 0.0))
            return super().compute_loss(output, batch, head)

        calls = 0

    classes.add(Follows)
    tasks = [*spec_on({"data": dataset}).tasks, helpers.task("Follows", key="follows")]
    spec = helpers.job(
        {"data": dataset}, tasks, steps=12, batch_size=16, on_nan="skip", checkpoint_every_steps=1, lr=1e-3
    )
    _, sink = helpers.run(spec, {"data": dataset}, classes)
    before, after, later = (sink.at(step).tensors for step in (6, 8, 9))
    names = [name for name in before if "follows" in name and not name.startswith("optim.")]
    names = [name for name in names if "seen" in name or "kept" in name]
    assert len(names) == 4, before.keys()
    for name in names:
        assert torch.equal(before[name], after[name]), name
        assert torch.isfinite(later[name]).all(), name
        assert not torch.equal(after[name], later[name]), name

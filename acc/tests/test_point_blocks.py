"""Loss points come in blocks that are complete, in order, and without influence on the training."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from acc.data import AccDataset
from acc.errors import PluginFailed, TrainingFailed
from acc.tests import helpers
from acc.training import trainer
from acc.training.losses import series
from acc.training.losses.recorder import BlockRecorder
from acc.training.step import StepResult


@pytest.mark.parametrize("seconds", [0.0, 0.005, 100.0])
def test_blocks_are_consecutive_and_their_size_changes_nothing(
    dataset: AccDataset, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = helpers.job({"data": dataset}, steps=12)
    _, reference = helpers.run(spec, {"data": dataset})
    monkeypatch.setattr(trainer, "BLOCK_SECONDS", seconds)
    _, sink = helpers.run(spec, {"data": dataset})
    starts = [block.start for block in sink.blocks]
    counts = [block.count for block in sink.blocks]
    assert starts == [sum(counts[:number]) for number in range(len(counts))]
    assert sum(counts) == 12
    assert counts[0] == 1, "the first point is shown at once"
    for name, values in sink.history().items():
        np.testing.assert_array_equal(values, reference.history()[name])
    for block in sink.blocks:
        assert block.values.dtype == np.float32
        assert block.values.shape == (len(block.series), block.count)
        assert 0 < block.wall_start <= block.wall_end


def test_a_step_after_a_quiet_spell_is_shown_at_once_and_quick_ones_wait_for_one_another(
    dataset: AccDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = helpers.shipped_tasks()

    class SlowTask(classes.task("KLDivergenceTask")):  # type: ignore[misc]
        def compute_loss(self, output, batch, head):
            time.sleep(slow)
            return super().compute_loss(output, batch, head)

    classes.add(SlowTask)
    spec = helpers.job(
        {"data": dataset}, [helpers.task("reconstruction"), helpers.task("SlowTask", key="s")], steps=5
    )
    monkeypatch.setattr(trainer, "BLOCK_SECONDS", 100.0)
    monkeypatch.setattr(trainer, "QUIET_SECONDS", 0.05)
    slow = 0.06
    _, sink = helpers.run(spec, {"data": dataset}, classes)
    assert [block.count for block in sink.blocks] == [1, 1, 1, 1, 1]
    monkeypatch.setattr(trainer, "QUIET_SECONDS", 100.0)
    _, sink = helpers.run(spec, {"data": dataset}, classes)
    assert [block.count for block in sink.blocks] == [1, 4]


def test_the_series_are_total_raw_weighted_learning_rate_and_gradient_norm(dataset: AccDataset) -> None:
    _, sink = helpers.run(helpers.job({"data": dataset}, [helpers.task("kl", weight=2.0)]), {"data": dataset})
    assert sink.blocks[0].series == ("total", "raw/kl", "weighted/kl", "lr", "grad_norm")


def test_the_gradient_norm_is_measured_at_every_tenth_step_and_at_each_that_clips(
    dataset: AccDataset,
) -> None:
    _, clipped = helpers.run(helpers.job({"data": dataset}, steps=21, grad_clip_norm=1e9), {"data": dataset})
    _, free = helpers.run(helpers.job({"data": dataset}, steps=21), {"data": dataset})
    norms, sparse = clipped.history()[series.GRAD_NORM], free.history()[series.GRAD_NORM]
    assert (norms > 0).all()
    assert np.flatnonzero(~np.isnan(sparse)).tolist() == [0, 10, 20]
    np.testing.assert_allclose(sparse[::10], norms[::10], rtol=1e-4)


def test_the_kl_warm_up_is_in_the_weighted_series(dataset: AccDataset) -> None:
    tasks = [helpers.task("reconstruction"), helpers.task("kl", weight=2.0)]
    _, sink = helpers.run(helpers.job({"data": dataset}, tasks, kl_warmup_steps=4), {"data": dataset})
    history = sink.history()
    ratio = history[series.weighted("kl")] / history[series.raw("kl")]
    np.testing.assert_allclose(ratio, [0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0], rtol=1e-5)


def test_a_loss_that_is_not_finite_fails_the_run_and_keeps_the_last_checkpoint(dataset: AccDataset) -> None:
    classes = helpers.shipped_tasks()

    class ExplodingTask(classes.task("KLDivergenceTask")):  # type: ignore[misc]
        def compute_loss(self, output, batch, head):
            loss = super().compute_loss(output, batch, head)
            self.calls = getattr(self, "calls", 0) + 1
            return loss / 0.0 if self.calls == 7 else loss

    classes.add(ExplodingTask)
    datasets = {"data": dataset}
    tasks = [helpers.task("reconstruction"), helpers.task("ExplodingTask", key="boom", weight=0.5)]
    sink = helpers.KeepingSink()
    with pytest.raises(TrainingFailed) as failed:
        helpers.run(
            helpers.job(datasets, tasks, steps=20, checkpoint_every_steps=4), datasets, classes, sink=sink
        )
    assert (failed.value.step, failed.value.series) == (6, "raw/boom")
    assert str(failed.value).startswith(
        "the loss of task 'boom' (weight 0.5) was no longer a finite number at step 6, learning rate 0.002"
    )
    assert [(alarm.kind, alarm.step) for alarm in sink.alarms] == [("nan", 6)]
    assert [snapshot.step for snapshot, _ in sink.checkpoints] == [4]
    assert all(torch.isfinite(t).all() for t in sink.at(4).tensors.values() if t.is_floating_point())
    assert len(sink.history()[series.TOTAL]) > 6, "the points up to the failure are kept"


def test_weights_that_are_not_finite_are_never_saved(dataset: AccDataset) -> None:
    classes = helpers.shipped_tasks()

    class SpikingTask(classes.task("ReconstructionTask")):  # type: ignore[misc]
        def compute_loss(self, output, batch, head):
            loss = super().compute_loss(output, batch, head)
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 4:  # finite value, infinite gradient
                loss = loss + (torch.sqrt(output.latent - output.latent.detach()) * 0.0).nan_to_num().sum()
            return loss

    classes.add(SpikingTask)
    datasets = {"data": dataset}
    sink = helpers.KeepingSink()
    spec = helpers.job(datasets, [helpers.task("SpikingTask", key="spike")], steps=4)
    with pytest.raises(TrainingFailed, match="no longer a finite number at step 3"):
        helpers.run(spec, datasets, classes, sink=sink)
    assert sink.checkpoints == []


def test_a_task_that_raises_ends_the_run_with_its_own_error_and_every_point_before_it(
    dataset: AccDataset,
) -> None:
    classes = helpers.shipped_tasks()

    class RaisingTask(classes.task("KLDivergenceTask")):  # type: ignore[misc]
        def compute_loss(self, output, batch, head):
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 6:
                raise ZeroDivisionError("on purpose")
            return super().compute_loss(output, batch, head)

    classes.add(RaisingTask)
    datasets = {"data": dataset}
    sink = helpers.KeepingSink()
    with pytest.raises(PluginFailed, match="ZeroDivisionError: on purpose") as failed:
        helpers.run(helpers.job(datasets, [helpers.task("RaisingTask")]), datasets, classes, sink=sink)
    causes = [failed.value.__cause__, getattr(failed.value.__cause__, "__cause__", None)]
    assert any(isinstance(each, ZeroDivisionError) for each in causes)
    assert len(sink.history()[series.TOTAL]) == 5


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (lambda loss: loss.expand(3), "returned a tensor of shape (3,), torch.float32"),
        (lambda loss: loss.long(), "returned a tensor of shape (), torch.int64"),
        (lambda loss: 0.5, "returned 0.5"),
        (lambda loss: None, "returned None"),
    ],
)
def test_a_loss_that_is_no_scalar_is_refused_at_the_first_step(
    dataset: AccDataset, result, words: str
) -> None:
    classes = helpers.shipped_tasks()

    class OddTask(classes.task("KLDivergenceTask")):  # type: ignore[misc]
        def compute_loss(self, output, batch, head):
            return result(super().compute_loss(output, batch, head))

    classes.add(OddTask)
    datasets = {"data": dataset}
    with pytest.raises(PluginFailed) as refused:
        helpers.run(helpers.job(datasets, [helpers.task("OddTask", key="odd")]), datasets, classes)
    told = str(refused.value)
    assert told.startswith("task 'odd': OddTask.compute_loss (test_point_blocks.py, line ")
    assert f") {words}; it must return a" in told
    assert told.endswith("at step 0")


def test_a_recorder_separates_tasks_that_were_not_drawn_from_losses_that_failed() -> None:
    recorder = BlockRecorder(("a", "b"), start=5)
    recorder.add(StepResult([torch.tensor(1.0)], [1.0], 0.1, norm=None, drawn=1))
    recorder.add(StepResult([torch.tensor(2.0)], [0.5], 0.1, norm=None, drawn=0))
    block, unsound = recorder.fetch()
    assert unsound == []
    assert block.start == 5
    np.testing.assert_array_equal(block.values[block.series.index("raw/a")], [np.nan, 2.0])
    np.testing.assert_array_equal(block.values[block.series.index("weighted/a")], [np.nan, 1.0])
    np.testing.assert_array_equal(block.values[0], [1.0, 1.0])
    recorder.add(StepResult([torch.tensor(1.0)], [1.0], 0.1, norm=None, drawn=1))
    recorder.add(StepResult([torch.tensor(float("inf"))], [1.0], 0.1, norm=None, drawn=1))
    _, unsound = recorder.fetch()
    assert unsound[0] == (8, "raw/b")

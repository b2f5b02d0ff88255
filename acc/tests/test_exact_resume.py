"""A job that was cut and resumed ends with the same bytes and the same loss history as one that never was."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acc.data import AccDataset
from acc.errors import CheckpointError, InvalidInput
from acc.hashes import file_sha256
from acc.models import build
from acc.specs import TrainJobSpec
from acc.tests import helpers
from acc.training.checkpoints.files import load
from acc.training.checkpoints.header import read_header
from acc.training.trainer import Trainer

SETTINGS: list[dict[str, Any]] = [
    {},
    {"schedule": "sampled"},
    {"lr_schedule": "one_cycle", "kl_warmup_steps": 9, "grad_clip_norm": 0.5},
    {"optimizer": "sgd", "lr": 1e-3, "lr_schedule": "cosine"},
    {"optimizer": "adam", "batch_size": 100},
    {"on_nan": "skip"},
]


def job_on(datasets: dict[str, AccDataset], **train: Any) -> TrainJobSpec:
    tasks = [*helpers.all_tasks("a"), helpers.task("reconstruction", key="draw-b", dataset="b", weight=3.0)]
    return helpers.job(
        datasets, tasks, **{"steps": 14, "batch_size": 16, "checkpoint_every_steps": 6, **train}
    )


@pytest.fixture
def datasets() -> dict[str, AccDataset]:
    return {"a": helpers.blobs(50, seed=1), "b": helpers.blobs(11, seed=2)}


@pytest.mark.parametrize("train", SETTINGS)
def test_resuming_from_an_autosave_gives_the_same_file_bit_for_bit(
    datasets: dict[str, AccDataset], train: dict[str, Any], tmp_path: Path
) -> None:
    spec = job_on(datasets, **train)
    _, whole = helpers.run(spec, datasets)
    for step in (6, 12):
        whole.at(step).write(tmp_path / f"{step}.safetensors")
        torch.manual_seed(step)  # what else goes on in the process must not matter
        np.random.seed(step)
        random.seed(step)
        _, resumed = helpers.run(spec, datasets, resume_from=tmp_path / f"{step}.safetensors")
        assert resumed.at(14).write(tmp_path / "resumed") == whole.at(14).write(tmp_path / "whole")
        for name, values in resumed.history().items():
            np.testing.assert_array_equal(values, whole.history()[name][step:], err_msg=name)


def test_the_same_seed_gives_the_same_file_and_another_seed_does_not(
    datasets: dict[str, AccDataset], tmp_path: Path
) -> None:
    hashes = [
        helpers.run(job_on(datasets, seed=seed), datasets)[1].at(14).write(tmp_path / "x")
        for seed in (0, 0, 1)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.long(6)
def test_two_threads_repeat_themselves_bit_for_bit_too(
    datasets: dict[str, AccDataset], tmp_path: Path
) -> None:
    hashes = [
        helpers.run(job_on(datasets, threads=2), datasets)[1].at(14).write(tmp_path / "x") for _ in range(2)
    ]
    assert hashes[0] == hashes[1]


def test_training_leaves_the_callers_random_state_and_torch_settings_alone(
    datasets: dict[str, AccDataset],
) -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    expected = torch.rand(3), np.random.rand(3), random.random()
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    helpers.run(job_on(datasets, steps=2), datasets)
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])
    assert random.random() == expected[2]
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_a_hundred_steps_and_a_hundred_more_are_two_hundred(datasets: dict[str, AccDataset]) -> None:
    _, whole = helpers.run(job_on(datasets, steps=14, kl_warmup_steps=10), datasets)
    _, first = helpers.run(job_on(datasets, steps=6, kl_warmup_steps=10), datasets)
    second_trainer, second = helpers.run(
        job_on(datasets, steps=8, kl_warmup_steps=10), datasets, start_from=first.at(6).checkpoint()
    )
    assert (second_trainer.step, second_trainer.state.global_step) == (8, 14)
    ours, theirs = second.at(8).tensors, whole.at(14).tensors
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


def test_another_seed_on_a_branch_draws_other_batches_from_the_same_weights(
    datasets: dict[str, AccDataset],
) -> None:
    _, first = helpers.run(job_on(datasets, steps=6), datasets)
    start = first.at(6).checkpoint()
    runs = [
        helpers.run(job_on(datasets, steps=3, seed=seed), datasets, start_from=start)[1] for seed in (7, 7, 8)
    ]
    totals = [run.history()["total"] for run in runs]
    assert np.array_equal(totals[0], totals[1])
    assert not np.array_equal(totals[0], totals[2])


def test_a_fork_keeps_the_heads_of_tasks_that_stayed_and_starts_the_others_afresh(
    datasets: dict[str, AccDataset],
) -> None:
    _, first = helpers.run(job_on(datasets, steps=6), datasets)
    start = first.at(6).checkpoint()
    tasks = [
        helpers.task("classification", dataset="a", factor="digit"),
        helpers.task("regression", dataset="a", factor="free"),  # another width: the old head cannot fit
        helpers.task("classification", key="probe", dataset="a"),
    ]
    trainer = Trainer(
        helpers.job(datasets, tasks), datasets, classes=helpers.shipped_tasks(), start_from=start
    )
    entries: Any = trainer.tasks.entries
    for name, tensor in entries["classification"].head.state_dict().items():
        assert torch.equal(tensor, start.tensors[f"head.classification.{name}"])
    assert {key: entry.age for key, entry in entries.items()} == {
        "classification": 6,
        "regression": 6,
        "probe": 0,
    }
    state = trainer.state.optimizer.state()
    assert "head.classification.weight/exp_avg" in state
    assert "head.probe.weight/exp_avg" not in state


def test_a_task_starts_with_the_same_head_whatever_else_is_attached(datasets: dict[str, AccDataset]) -> None:
    alone = [helpers.task("classification", dataset="a")]
    among = [helpers.task("regression", dataset="a"), *alone]
    trainers = [
        Trainer(helpers.job(datasets, tasks), datasets, classes=helpers.shipped_tasks())
        for tasks in (alone, among)
    ]
    heads = [trainer.tasks.head_tensors() for trainer in trainers]
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])


def test_the_number_of_threads_is_recorded_and_used_again(datasets: dict[str, AccDataset]) -> None:
    spec = job_on(datasets, steps=8, threads=2)
    _, sink = helpers.run(spec, datasets)
    assert sink.at(6).header.threads == 2
    free = spec.model_copy(update={"train": spec.train.model_copy(update={"threads": None})})
    resumed = Trainer(free, datasets, classes=helpers.shipped_tasks(), resume_from=sink.at(6).checkpoint())
    assert resumed.state.threads == 2


def test_a_checkpoint_of_another_model_is_refused(datasets: dict[str, AccDataset], tmp_path: Path) -> None:
    _, sink = helpers.run(job_on(datasets, steps=6), datasets)
    other = helpers.job(
        datasets, [helpers.task("reconstruction", dataset="a")], model=helpers.model_spec("ConvVAE")
    )
    with pytest.raises(
        CheckpointError, match=r"of another model \(FactorSlotAutoencoder, latent_dim 8\) than this one"
    ):
        Trainer(other, datasets, classes=helpers.shipped_tasks(), start_from=sink.at(6).checkpoint())
    with pytest.raises(InvalidInput, match="start_from or resume_from, not both"):
        start = sink.at(6).checkpoint()
        Trainer(other, datasets, classes=helpers.shipped_tasks(), start_from=start, resume_from=start)


CHILD = """
    import sys
    from pathlib import Path
    from acc.tests import helpers
    from acc.tests.test_exact_resume import job_on

    class Disk(helpers.KeepingSink):
        def on_checkpoint(self, snapshot, reason):
            snapshot.write(Path(sys.argv[1]) / f"{reason}-{snapshot.step}.safetensors")

        def on_block(self, block):
            with (Path(sys.argv[1]) / "points.txt").open("a") as file:
                for column in range(block.count):
                    file.write(f"{block.start + column} {block.values[0, column].item()!r}\\n")

    datasets = {"a": helpers.blobs(50, seed=1), "b": helpers.blobs(11, seed=2)}
    spec = job_on(
        datasets, steps=200, checkpoint_every_steps=120, kl_warmup_steps=150, lr_schedule="one_cycle"
    )
    resume = sys.argv[2] if len(sys.argv) > 2 else None
    helpers.run(spec, datasets, sink=Disk(), resume_from=resume)
"""


def child(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(folder), *arguments],
        env=environment,
        cwd=Path(__file__).parents[2],
    )


def points(folder: Path) -> dict[int, str]:
    """Return step -> total as it was written; a later line of a step replaces an earlier one."""
    lines = [line.split() for line in (folder / "points.txt").read_text().splitlines()]
    return {int(step): value for step, value in lines}


@pytest.mark.long(13)
def test_two_hundred_steps_equal_a_hundred_and_twenty_kill_nine_and_the_rest(tmp_path: Path) -> None:
    whole = child(tmp_path / "whole")
    cut = child(tmp_path / "cut")
    autosave = tmp_path / "cut" / "autosave-120.safetensors"
    deadline = time.monotonic() + 90
    while not autosave.exists():
        assert cut.poll() is None, "the child ended before its autosave"
        assert time.monotonic() < deadline, "no autosave came"
        time.sleep(0.002)
    cut.send_signal(signal.SIGKILL)
    assert cut.wait(30) == -signal.SIGKILL
    assert read_header(autosave).job_step == 120
    assert not (tmp_path / "cut" / "final-200.safetensors").exists()
    before = {step: value for step, value in points(tmp_path / "cut").items() if step < 120}
    assert child(tmp_path / "resumed", str(autosave)).wait(90) == 0
    assert whole.wait(90) == 0
    assert file_sha256(tmp_path / "resumed" / "final-200.safetensors") == file_sha256(
        tmp_path / "whole" / "final-200.safetensors"
    )
    after = points(tmp_path / "resumed")
    assert not before.keys() & after.keys()
    assert {**before, **after} == points(tmp_path / "whole")
    assert sorted({**before, **after}) == list(range(200))


def test_a_checkpoint_holds_the_weights_of_the_model_it_came_from(
    datasets: dict[str, AccDataset], tmp_path: Path
) -> None:
    trainer, sink = helpers.run(job_on(datasets, steps=3), datasets)
    sink.at(3).write(tmp_path / "final")
    model = build(trainer.state.job.model)
    model.load_state_dict(load(tmp_path / "final").part("model"))
    for name, tensor in trainer.model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])
